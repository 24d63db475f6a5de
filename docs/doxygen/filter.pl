# filter.pl FILE: a public header, or a page in Markdown, as Doxygen is to read it (make docs). The
# sources stay free of Doxygen's commands.
#
# In a header
# - the comment at the top becomes the file's, the comments between dashes the titles of groups,
#   with the plain comments right below them;
# - a macro with options and the function behind it become one function: what it returns, its
#   required arguments, and "...";
# - the labels (Shapes, Gradient, Errors, ...) begin paragraphs, and names become links: a name that
#   is not there is a warning;
# - a comment behind a field becomes the field's. An option without one is said in the comment of
#   its function.
#
# In Markdown $maths$ becomes Doxygen's.
use strict;
use warnings;

my $file = shift;
my $text = contents($file);

if ($file =~ /\.md$/) {
    if ($file =~ /book\/README/) {
        $text =~ s/\[([^]]*)\]\((\d\d)-(\w+)\.md\)/\\subpage md_docs_book_$2_$3 "$1"/g;
    }
    $text =~ s/\A# (\d+)\. /# $1.\xc2\xa0/; # else the title is taken for a list, numbered from 1
    print markdown($text);
    exit;
}

my (%function, %required, %body, $groups);
$function{$2} = $1 while $text =~ /^GR_API ((?:[^;\n]*?[ *])(gr_\w+)_\([^;]*);/mg;
while ($text =~ /^typedef struct (gr_\w+) \{\n((?:(?!\}).*\n)*?) +GR__NAMED/mg) {
    my ($name, $fields) = ($1, $2);
    $required{$name} = join ', ', $fields =~ /^ +(.*?)(?: GR__OR\(.*\))?;/mg;
}
my $headers = join '', map { contents($_) } glob($file =~ s/[^\/]*$/*.h/r);
while ($headers =~ /^#define (GR__\w+_OPTIONS) *\\\n((?:.*\\\n)*.*\n)/mg) {
    my ($name, $fields) = ($1, $2);
    $body{$name} = $fields =~ s/ *\\\n/\n/gr;
}

$text =~ s/^#define GR_(?:_\w+|API)\b(?:.*\\\n)*.*\n//mg;
$text =~ s/^ +(GR__\w+_OPTIONS)\n/$body{$1}/mg;
$text =~ s/^ +GR__NAMED\n//mg;
$text =~ s/^\/\*\* gr_\w+ as a function, for callers without macros\. \*\/\n//mg;
$text =~ s/^GR_API [^;]*\bgr_\w+_\([^;]*;\n//mg;
$text =~ s{ ?\*/\n#define (gr_\w+)\(.*\.\.\.\)(?:.*\\\n)*.*\n}
    {exists $function{$1} ? macro($1) : $&}meg;
my $options = qr~/\*\* Options of (gr_\w+)[^\n]*(?:\n \*[^\n]*)*\ntypedef struct gr_\w+ \{\n~;
$text =~ s~^($options)(.*?)(?=^\})~$1 . fields($3, "See #$2.")~megs;
$text =~ s~^(typedef (?:struct|enum) gr_\w+ \{\n)(.*?)(?=^\})~$1 . fields($2)~megs;
$text =~ s{^(/\*\*.*?\*/)}{"/** " . labelled(plain($1)) . " */"}megs;
$text =~ s{^/\* ---- (.*?)\*/((?:\n/\* .*?\*/)*)}{group($1, $2)}megs;
$text =~ s{\A/\* \w+\.h: (.*?)\*/}{"/** \@file\n" . ucfirst(plain($1)) . " */"}es;
$text =~ s~\n(#ifdef __cplusplus\n\})~\n/**\@}*/\n$1~ if $groups;
print $text;

sub contents
{
    my $name = shift;
    open my $in, '<', $name or die "$name: $!\n";
    local $/;
    return scalar <$in>;
}

# gr_optim *gr_sgd(gr_model *model, ...), of gr_optim *gr_sgd_(gr_sgd_options o) and the required
# fields of gr_sgd_options.
sub macro
{
    my $name = shift;
    my $signature = $function{$name};
    $signature =~ s/\b${name}_\(/$name(/;
    $signature =~ s/(gr_\w+_options) \w+\)$/$required{$1}, ...)/;
    return " Options: $1. */\n$signature;\n";
}

# What stands behind a field becomes its comment; a number is what it is by default.
sub fields
{
    my ($text, $otherwise) = @_;
    $text =~ s{/\* +(.*?) +\*/$}
        {"/**< " . plain($1 =~ s/^([-\d.e\/]+|none)$/Default: $1/r) . " */"}meg;
    $text =~ s{;$}{; /**< $otherwise */}mg if $otherwise;
    return $text;
}

sub group
{
    my ($title, $below) = @_;
    $title =~ s/ *-{5,}//;
    $below =~ s{\n/\* (.*?)\*/}{\n\n$1}gs;
    my ($name, $rest) = split /\n/, "$title\n$below", 2;
    return ($groups++ ? "/**\@}*/\n" : '') . "/** \@name " . ucfirst($name) . "\n" . plain($rest) .
        " */\n/**\@{*/";
}

# A comment as text in which nothing is mark-up, what is indented is code, and the project's names
# are links.
sub plain
{
    my $text = shift;
    $text =~ s{^/\*\* ?|\s*\*/$|^ \*  ?}{}mg;
    my @parts = split /((?:^ {7,}.*(?:\n|\z))+)/m, $text;
    for (@parts) {
        if (/^ {7}/) { $_ = "\n\@code\n" . s/\s*$//r . "\n\@endcode\n"; next }
        s/^ +//mg;
        s/([\\<>#%@*&|~`])/\\$1/g;
        s/\.\. /..&nbsp;/g; # no end of a sentence
        s/(?<![\w{"'.])((?:gr|GR)_\w+)(?![\w(]|\.\w|\\\*)/#$1/g;
    }
    return join '', @parts;
}

sub labelled
{
    my $text = shift;
    my $begin = qr{^|(?<=[.;)] )|(?<=[.;)]\n)}m;
    my $label = qr{
        Shapes? | Shape\ of\ an\ image | Gradient | Defaults? | Errors | Lifetime | Sources? |
        Options
    }x;
    $text =~ s{(?:$begin)($label)((?:, [^:]*?)?): }
        {"\n\@par $1\n" . ($2 ? substr($2, 2) . ': ' : '')}meg;
    return $text;
}

sub markdown
{
    my $text = shift;
    my @parts = split /^(```.*?^```\n|    [^\n]*\n)/ms, $text;
    for (@parts) {
        next if /^(```|    )/;
        s{^\$\$(.*?)\$\$$}{\\f[$1\\f]}msg;
        $_ = inline($_);
    }
    return join '', @parts;
}

# Code, maths, and emphasis, which may hold both.
sub inline
{
    my $maths = qr{(?<![\\\$])\$([^\$\n`]+)\$};
    my $emphasis = qr{(?<!\*)\*(?=[^\s*])((?:[^*\$`]|`[^`]+`|\$[^\$]+\$)+)(?<=\S)\*(?!\*)};
    return shift =~ s{`([^`\n]+)`|$maths|$emphasis}
        {defined $1 ? code($1) : defined $2 ? "\\f\$$2\\f\$" : "<em>" . inline($3) . "</em>"}egr;
}

sub code
{
    my $text = shift =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr;
    $text =~ s/\\(?!\|)|[#%@~]|(?<!")\*/\\$&/g;
    $text =~ s/^gr_[a-z]\w+$/#$&/;
    return "<code>$text</code>";
}

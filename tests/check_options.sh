#!/bin/sh
# check_options.sh: in C++ options must be given in the order of their struct's fields, so the
# comment of each call, and each example call in a comment or a page, lists them in that order.
cd "${srcdir:-.}" || exit 1
exec perl -0777 -ne '
    BEGIN {
        for my $file (glob "include/gradus/*.h") {
            open my $in, "<", $file or die "$file: $!\n";
            my $text = <$in>;
            $shared{$1} = $2 while $text =~ /#define (GR__\w+_OPTIONS)((?:.*\\\n)*.*\n)/g;
            $body{$1} = $2 while $text =~ /typedef struct (gr_\w+_options) \{\n(.*?)\n\}/gs;
            $options{$1} = $2 while $text =~
                /#define (gr_\w+)\([^)]*\.\.\.\)(?:[^\n]*\\\n)*[^\n]*GR__LITERAL\((\w+)\)/g;
        }
        for my $struct (keys %body) {
            (my $fields = $body{$struct}) =~ s/(GR__\w+_OPTIONS)/$shared{$1}/g;
            my $n = 0;
            $place{$struct}{$1} = $n++ while $fields =~ /(\w+)(?:\[\w+\])? GR__OR/g;
        }
    }
    while (/\b(gr_\w+)(\((?:[^()"]|"(?:\\.|[^"\\])*"|(?2))*\))/g) {
        my ($call, $list, $line) = ($1, $2, 1 + (substr($_, 0, $-[0]) =~ tr/\n//));
        my $struct = $options{$call} or next;
        $list =~ s/"(?:\\.|[^"\\])*"//g;
        1 while $list =~ s/(?<!^)[({][^(){}]*[)}]//; # calls and lists inside: options of their own
        my $last = -1;
        for my $option ($list =~ /[(,*]\s*(?:\*\s*)?\.(\w+)/g) {
            my $place = $place{$struct}{$option};
            my $wrong = !defined $place ? " has no option .$option" :
                $place < $last ? ": .$option stands earlier in the struct" : "";
            if ($wrong) { print "$ARGV:$line: $call$wrong\n"; $failed = 1; last }
            $last = $place;
        }
    }
    END { $? = $failed ? 1 : 0 }
' include/gradus/*.h README.md docs/*.md docs/*/*.md

#!/bin/sh
# assets.sh HEADER NAME: FILE... NAME: FILE...: a C file in which gr__NAME is an array of the bytes
# of its files, one after the other, and a zero. C limits the length of a string, not of an array.
# Files are found from $srcdir.
set -eu
printf '#include "%s"\n' "$1"
shift
end=
for word; do
    case $word in
    *:)
        printf "$end"'const unsigned char gr__%s[] = {\n' "${word%:}"
        end='0 };\n'
        ;;
    *) LC_ALL=C od -An -v -tx1 "$srcdir/$word" | sed 's/[0-9a-f][0-9a-f]/0x&,/g' ;;
    esac
done
printf "$end"

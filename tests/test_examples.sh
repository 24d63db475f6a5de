#!/bin/bash
# test_examples.sh: the example programs do what they say, and refuse what they must: one clear line
# on stderr, status 1, and nothing written. Runs in the build directory; GRADUS_MNIST names the
# folder of MNIST, if it is there.
set -eu
examples=$PWD/examples
# as good as any for pictures of noise
bytes=$(cd "$srcdir" && pwd)/tests/parity/lenet-digits.safetensors
dir=$(mktemp -d "${TMPDIR:-/tmp}/gradus-examples.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# ---- files to read, good and bad ----

# The lowest N bytes of a number, highest byte first: big N NUMBER; lowest first: little N NUMBER.
big()
{
    local i
    for ((i = $1 - 1; i >= 0; i--)); do printf "\\x$(printf %02x $(($2 >> (8 * i) & 255)))"; done
}

little()
{
    local i
    for ((i = 0; i < $1; i++)); do printf "\\x$(printf %02x $(($2 >> (8 * i) & 255)))"; done
}

# images COUNT: an IDX file of 28x28 noise; labels COUNT: 0 to 9 in turn.
images()
{
    big 4 2051; big 4 "$1"; big 4 28; big 4 28
    head -c $(($1 * 784)) "$bytes"
}

labels()
{
    local i
    big 4 2049; big 4 "$1"
    for ((i = 0; i < $1; i++)); do big 1 $((i % 10)); done
}

data_set()
{
    mkdir "$1"
    images 256 >"$1/train-images-idx3-ubyte"
    labels 256 >"$1/train-labels-idx1-ubyte"
    images 100 >"$1/t10k-images-idx3-ubyte"
    labels 100 | gzip >"$1/t10k-labels-idx1-ubyte.gz"
}

# cifar FOLDER: 64 pictures of noise to train with and 20 to test with, in the files of CIFAR-10.
records()
{
    local i
    for ((i = 0; i < $1; i++)); do
        big 1 $((i % 10))
        tail -c +$((3072 * i + 1)) "$bytes" | head -c 3072
    done
}

cifar()
{
    mkdir "$1"
    records 64 >"$1/data_batch_1.bin"
    records 20 >"$1/test_batch.bin"
}

# weights HEADER: a safetensors file with this header and the numbers of the good file.
weights()
{
    little 8 ${#1}
    printf %s "$1"
    tail -c +$((9 + header_size)) good.safetensors
}

# ---- what runs ----

lenet()
{
    "$examples/lenet" "$@" </dev/null
}

pictures()
{
    "$examples/pictures" "$@" </dev/null
}

resnet20()
{
    "$examples/resnet20" "$@" </dev/null
}

accuracy='^test accuracy [0-9]+\.[0-9][0-9]% \([0-9]+/[0-9]+\)$'

# at_least PERCENT FILE: the file's last line says so.
at_least()
{
    tail -n 1 "$2" | grep -qE "$accuracy" || fail "last line: $(tail -n 1 "$2")"
    tail -n 1 "$2" | awk -v least="$1" '{ exit !($3 + 0 >= least) }' ||
        fail "under $1 %: $(tail -n 1 "$2")"
}

works()
{
    [ "$("$examples/square")" = 6 ] || fail "square does not print 6"

    "$examples/equations" >equations || fail "equations: status $?"
    for equation in 2 10 18 26 34 35; do
        grep -q "($equation)" equations || fail "equations: ($equation) is not there"
    done

    grep -q "^largest difference of all six: 0$" equations ||
        fail "equations: $(tail -n 1 equations)"

    for program in autoencoder pictures predict resnet20 saliency wgan_gp; do
        "$examples/$program" --help >help || fail "$program --help: status $?"
        head -n 1 help | grep -q "^usage: $program " ||
            fail "$program --help begins with $(head -n 1 help)"
    done
    lenet --help >help || fail "lenet --help: status $?"
    for option in data epochs batch lr momentum seed threads save load checkpoint checkpoint-steps \
        report trace eval help; do
        grep -q -e "--$option" help || fail "lenet --help does not name --$option"
    done

    # Piped, a line an epoch and the last; the same bits with one thread and two; the same count
    # when loaded again.
    lenet --data data --epochs 2 --threads 1 --save good.safetensors >one || fail "lenet: status $?"
    lenet --data data --epochs 2 --threads 2 --save two.safetensors >two ||
        fail "lenet --threads 2: status $?"
    [ "$(wc -l <one)" = 3 ] || fail "lenet prints $(wc -l <one) lines in two epochs, not 3"
    at_least 0 one
    [ "$(grep -cE '^epoch [12]/2  loss [0-9]+\.[0-9]{4}  [0-9]+\.[0-9] s$' one)" = 2 ] ||
        fail "lenet's lines of an epoch: $(cat one)"
    lenet --data=data --epochs=2 --threads=1 --save=good.safetensors >same ||
        fail "lenet --data=data: status $?"
    [ "$(tail -n 1 one)" = "$(tail -n 1 same)" ] ||
        fail "--data DIR gives $(tail -n 1 one), --data=DIR $(tail -n 1 same)"
    cmp good.safetensors two.safetensors || fail "one thread and two differ"
    lenet --data data --epochs 2 --checkpoint run.ckpt --save two.safetensors >two ||
        fail "lenet --checkpoint: status $?"
    cmp good.safetensors two.safetensors || fail "with a checkpoint and without differ"
    lenet --data data --epochs 3 --checkpoint run.ckpt >three ||
        fail "lenet --checkpoint that is there: status $?"
    grep -qx 'lenet resumes from run.ckpt: epoch 2/3, 100 %' three &&
        grep -q '^epoch 3/3  loss' three || fail "going on: $(cat three)"
    # A report changes nothing, and says what the run printed; of a run that goes on, it begins
    # there.
    lenet --data data --epochs 2 --report run.html --save two.safetensors >two ||
        fail "lenet --report: status $?"
    cmp good.safetensors two.safetensors || fail "with a report and without differ"
    [ "$(tail -n 1 one)" = "$(tail -n 1 two)" ] || fail "with a report it prints $(tail -n 1 two)"
    for part in '"title":"lenet","status":"finished"' '"first":0,"step":8' '"epochs_done":2' \
        '"classes":\["0",' '"name":"conv2.weight"' '"layer":"fc3"'; do
        grep -q "$part" run.html || fail "the report lacks $part"
    done
    lenet --data data --load good.safetensors --eval --trace pass.html >two ||
        fail "lenet --trace: status $?"
    for part in '"name":"images"' '"op":"conv2d","layer":"conv1"' '"name":"fc3.weight"' \
        '"name":"loss"'; do
        grep -q "$part" pass.html || fail "the page of the pass lacks $part"
    done
    rm -f pass.html
    cp -f run.ckpt half.ckpt
    lenet --data data --epochs 4 --checkpoint half.ckpt --report run.html >four ||
        fail "lenet --report, going on: status $?"
    grep -q '"first":12,"step":16' run.html ||
        fail "the report of a run that goes on does not begin there"
    rm -f run.html half.ckpt two four

    lenet --data data --load good.safetensors --eval >again || fail "lenet --eval: status $?"
    [ "$(tail -n 1 one)" = "$(tail -n 1 again)" ] ||
        fail "trained: $(tail -n 1 one), loaded: $(tail -n 1 again)"

    "$examples/predict" good.safetensors data/t10k-images-idx3-ubyte >predicted ||
        fail "predict: status $?"
    [ "$(grep -cE '^ *[0-9]+: [0-9]( +[01]\.[0-9]{3}){10}$' predicted)" = 100 ] ||
        fail "predict does not print a line for each of 100 images"
}

# png FILE: it is a picture, and says how wide and high: "337 117".
png()
{
    [ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] ||
        fail "$1 is not a PNG file"
    tail -c +17 "$1" | head -c 8 | od -An -tu1 | awk '{ print $3 * 256 + $4, $7 * 256 + $8 }'
}

# same_pictures COMMAND...: the weights that it has saved in drawn.safetensors, loaded, give the
# picture in drawn.png again.
same_pictures()
{
    "$@" --load drawn.safetensors --out again.png >again || fail "$*: status $?"
    cmp drawn.png again.png || fail "$*: trained and loaded weights draw different pictures"
    [ "$(tail -n 1 drawn | sed 's/^drawn/again/')" = "$(tail -n 1 again)" ] ||
        fail "$* prints $(tail -n 1 again), not $(tail -n 1 drawn)"
    rm -f drawn* again*
}

# What the programs that draw say and write, after an epoch of noise.
draws()
{
    local out="--threads 1 --save drawn.safetensors --out drawn.png"
    "$examples/autoencoder" --data data --epochs 1 $out --report run.html >drawn ||
        fail "autoencoder: status $?"
    grep -qE '^epoch 1/1  loss 0\.[0-9]{4}  [0-9]+\.[0-9] s$' drawn ||
        fail "autoencoder's line of an epoch: $(cat drawn)"
    grep -qE '^test error 0\.[0-9]{4}, ' drawn || fail "autoencoder's error: $(cat drawn)"
    grep -q '"values":\[{"name":"test error"' run.html ||
        fail "autoencoder's report lacks the test error"
    [ "$(png drawn.png)" = "358 238" ] || fail "autoencoder's picture is $(png drawn.png)"
    same_pictures "$examples/autoencoder" --data data --eval

    "$examples/saliency" --data data --epochs 1 --copies 3 $out >drawn || fail "saliency: status $?"
    mkdir -p pets/cat pets/dog
    for i in 1 2 3 4 5; do cp drawn.png "pets/cat/$i.png"; done
    [ "$(png drawn.png)" = "1138 340" ] || fail "saliency's picture is $(png drawn.png)"
    same_pictures "$examples/saliency" --data data --copies 3

    "$examples/wgan_gp" --data data --epochs 1 --judge good.safetensors $out >drawn ||
        fail "wgan_gp: status $?"
    grep -qE '^epoch 1/1  loss -?[0-9]+\.[0-9]{4}  [0-9]+\.[0-9] s$' drawn ||
        fail "wgan_gp's line of an epoch: $(cat drawn)"
    tail -n 1 drawn | grep -qE '^classes found: [1-9]0? of 10$' ||
        fail "wgan_gp's last line: $(tail -n 1 drawn)"
    tail -n 2 drawn | head -n 1 |
        awk '{ for (i = 2; i <= NF; i += 2) n += $i; exit !(NF == 20 && n == 1000) }' ||
        fail "wgan_gp does not judge 1000 digits: $(cat drawn)"
    for i in 1 2 3 4 5; do cp drawn.png "pets/dog/$i.png"; done
    [ "$(png drawn.png)" = "298 298" ] || fail "wgan_gp's picture is $(png drawn.png)"
    same_pictures "$examples/wgan_gp" --judge good.safetensors

    # Two models, two optimisers and the noise go on from the checkpoint.
    "$examples/wgan_gp" --data data --epochs 2 --save whole.safetensors --out whole.png >whole ||
        fail "wgan_gp --epochs 2: status $?"
    "$examples/wgan_gp" --data data --epochs 1 --checkpoint half --out half.png >half.1 ||
        fail "wgan_gp --checkpoint: status $?"
    "$examples/wgan_gp" --data data --epochs 2 --checkpoint half --save half.safetensors \
        --out half.png --report run.html >half.2 || fail "wgan_gp, resumed: status $?"
    cmp whole.safetensors half.safetensors || fail "wgan_gp resumed ends with other weights"
    cmp whole.png half.png || fail "wgan_gp resumed draws another picture"
    grep -q '"pictures":\[{"name":"generated digits"' run.html ||
        fail "wgan_gp's report lacks the digits"
    rm -f whole* half* run.html
}

# resnet20 on two epochs of noise: what it prints, the same bits with one thread and two, in one go
# and resumed, trained and loaded.
deep()
{
    local run="--data noise --epochs 2 --batch 16"
    cifar noise
    resnet20 $run --threads 1 --save deep.1 >one || fail "resnet20: status $?"
    [ "$(grep -cE '^epoch [12]/2  loss [0-9]+\.[0-9]{4}  [0-9]+\.[0-9] s$' one)" = 2 ] ||
        fail "resnet20's lines of an epoch: $(cat one)"
    at_least 0 one
    resnet20 $run --threads 2 --save deep.2 --checkpoint half --checkpoint-steps 3 \
        --report run.html >two || fail "resnet20 --checkpoint: status $?"
    cmp deep.1 deep.2 || fail "resnet20: one thread and two differ"
    resnet20 --data noise --load deep.1 --eval >again || fail "resnet20 --eval: status $?"
    [ "$(tail -n 1 one)" = "$(tail -n 1 again)" ] ||
        fail "trained: $(tail -n 1 one), loaded: $(tail -n 1 again)"
    grep -q '"classes":\["airplane",' run.html ||
        fail "resnet20's report lacks the names of the classes"
    rm -f deep.? half run.html
}

# pictures on the pictures that draws() has left, five of each of two kinds.
own_pictures()
{
    local run="--size 16 --validation 0.2"
    pictures pets $run --epochs 3 --batch 4 --save own --predict pets/cat/1.png --report run.html \
        >one || fail "pictures: status $?"
    [ "$(grep -cE '^epoch [123]/3  loss [0-9]+\.[0-9]{4}  [0-9]+\.[0-9] s$' one)" = 3 ] ||
        fail "pictures' lines of an epoch: $(cat one)"
    grep -qE '^test accuracy [0-9]+\.[0-9]{2}% of 2 pictures$' one ||
        fail "pictures' accuracy: $(cat one)"
    [ "$(grep -cE '^pets/cat/1.png: [01]\.[0-9]{3} (cat|dog)$' one)" = 2 ] ||
        fail "pictures' prediction: $(cat one)"
    pictures pets $run --load own --eval --predict pets/cat/1.png >again ||
        fail "pictures --eval: status $?"
    grep -q '"classes":\["cat","dog"\],"confusion":\[' run.html ||
        fail "pictures' report lacks the confusion of cat and dog"
    grep -v ^epoch one | cmp - again ||
        fail "pictures: trained and loaded weights say different things"
    refused "pictures --eval without --load" pictures pets --eval
    refused "pictures without a folder" pictures
    refused "pictures in a folder without pictures" pictures data
    refused "pictures that --predict nothing" pictures pets $run --load own \
        --eval --predict nowhere.png
    head -c 1000 pets/cat/1.png >pets/cat/broken.png
    refused "pictures, one broken" pictures pets $run --load own --eval
    pictures pets $run --load own --eval --skip-broken >again ||
        fail "pictures --skip-broken: status $?"
    grep -q "^skipped: 'pets/cat/broken.png'" again ||
        fail "pictures --skip-broken names none: $(cat again)"
    rm -rf pets own
}

# After its first image predict allocates nothing: as often for 100 images as for one. Where its
# calls can be counted, that is.
steady()
{
    if [ -n "${SANITIZER_CFLAGS:-}" ] ||
        ! ${CC:-cc} -shared -fPIC -o count.so -x c - 2>/dev/null <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static unsigned calls;

void *malloc(size_t n) { return calls++, __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return calls++, __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return calls++, __libc_realloc(p, n); }
void *aligned_alloc(size_t to, size_t n) { return calls++, __libc_memalign(to, n); }
int posix_memalign(void **p, size_t to, size_t n)
{
    return calls++, *p = __libc_memalign(to, n), *p ? 0 : 12;
}
__attribute__((destructor)) static void tell(void) { fprintf(stderr, "%u calls\n", calls); }
C
    then
        echo "predict's allocations are not counted here"
        return
    fi
    for count in 1 2 100; do
        images $count >some
        LD_PRELOAD=$PWD/count.so "$examples/predict" good.safetensors some 2>calls.$count \
            >/dev/null || fail "predict under a counting malloc: status $?"
    done
    echo "predict allocates: $(cat calls.100)"
    grep -qE '^[1-9][0-9]* calls$' calls.1 ||
        fail "predict's allocations were not counted: $(cat calls.1)"
    cmp calls.1 calls.100 || fail "predict allocates for each image: $(cat calls.1 calls.100)"
    cmp calls.1 calls.2 || fail "predict allocates for its second image: $(cat calls.1 calls.2)"
    rm -f some calls.* count.so
}

# The sanitizers take too long for these.
learns()
{
    [ -z "${SANITIZER_CFLAGS:-}" ] || return 0
    lenet >digits || fail "lenet: status $?"
    at_least 97 digits
    if [ -z "${GRADUS_MNIST:-}" ]; then
        echo "GRADUS_MNIST is not set: MNIST itself is skipped"
        return 0
    fi
    lenet --data "$GRADUS_MNIST" --epochs 1 >mnist || fail "lenet on MNIST: status $?"
    at_least 97 mnist
}

# ---- what is refused ----

# refused WHAT COMMAND...: status 1, one line on stderr, nothing on stdout, no file written or
# changed.
refused()
{
    local what=$1 status=0 before after
    shift
    before=$(find . -type f ! -name stdout ! -name stderr -exec cksum {} + | sort)
    "$@" >stdout 2>stderr </dev/null || status=$?
    after=$(find . -type f ! -name stdout ! -name stderr -exec cksum {} + | sort)
    [ $status -eq 1 ] || fail "$what: status $status"
    [ "$(wc -l <stderr)" -eq 1 ] || fail "$what: stderr has $(wc -l <stderr) lines: $(cat stderr)"
    [ ! -s stdout ] || fail "$what: on stdout: $(cat stdout)"
    [ "$before" = "$after" ] || fail "$what: files were written"
    echo "$what: $(cat stderr)"
}

refuses_options()
{
    refused "no such folder" lenet --data nowhere
    refused "--batch 0" lenet --batch 0
    refused "--lr abc" lenet --lr abc
    refused "--batch=0" lenet --batch=0
    refused "--epochs 1.5" lenet --epochs 1.5
    refused "--epochs ''" lenet --epochs ''
    refused "--seed -1" lenet --seed -1
    refused "--seed 2^64" lenet --seed 18446744073709551616
    refused "--lr 0" lenet --lr 0
    refused "--lr nan" lenet --lr nan
    refused "--momentum inf" lenet --momentum inf
    refused "--eval=1" lenet --eval=1
    refused "--eval without --load" lenet --eval
    refused "--eval with --save" lenet --load good.safetensors --eval --save saved
    refused "an argument too many" lenet data
    refused "unknown option" lenet --no-such-option 1
    refused "no value" lenet --epochs
    refused "unwritable --save" lenet --data data --epochs 1 --save nowhere/file
    refused "unwritable --checkpoint" lenet --data data --epochs 1 --checkpoint nowhere/file
    refused "--eval with --checkpoint" lenet --load good.safetensors --eval --checkpoint run
    refused "unwritable --report" lenet --data data --epochs 1 --report nowhere/file
    refused "--report to a folder" lenet --data data --epochs 1 --report data
    refused "--eval with --report" lenet --load good.safetensors --eval --report run.html
    refused "weights for a checkpoint" lenet --data data --epochs 1 --checkpoint good.safetensors
    refused "--checkpoint of another run" lenet --data data --epochs 1 --batch 99 \
        --checkpoint run.ckpt
    refused "--checkpoint of a longer run" lenet --data data --epochs 1 --checkpoint run.ckpt
    refused "--save to a folder" lenet --data data --epochs 1 --save data
    refused "--load of nothing" lenet --load nowhere --eval
    refused "--save to a device" lenet --data data --epochs 1 --save /dev/null
    refused "predict beyond the last image" "$examples/predict" good.safetensors \
        data/t10k-images-idx3-ubyte 100
    refused "predict by labels" "$examples/predict" good.safetensors data/train-labels-idx1-ubyte
    refused "predict without an argument" "$examples/predict" good.safetensors
    refused "autoencoder --eval without --load" "$examples/autoencoder" --eval
    refused "autoencoder with unwritable --out" "$examples/autoencoder" --data data --epochs 1 \
        --out nowhere/file
    refused "autoencoder with lenet's weights" "$examples/autoencoder" --data data \
        --load good.safetensors --eval
    refused "saliency --load with --save" "$examples/saliency" --data data --load good.safetensors \
        --save saved
    refused "saliency --copies 0" "$examples/saliency" --copies 0
    refused "resnet20 --eval without --load" resnet20 --eval
    refused "resnet20 in a folder without CIFAR-10" resnet20 --data data
    refused "resnet20 with lenet's weights" resnet20 --data noise --load good.safetensors --eval
    refused "wgan_gp --load with --save" "$examples/wgan_gp" --load good.safetensors --save saved
    refused "wgan_gp with lenet's weights" "$examples/wgan_gp" --load good.safetensors
    refused "wgan_gp with a judge that is not there" "$examples/wgan_gp" --data data --epochs 1 \
        --judge nowhere
}

# bad_data WHAT FILE: data set "bad", with FILE as given on stdin, is refused.
bad_data()
{
    cp -r data bad
    rm -f "bad/${2%.gz}" "bad/${2%.gz}.gz"
    cat >"bad/$2"
    refused "$1" lenet --data bad --epochs 1 --save saved
    rm -rf bad
}

refuses_data()
{
    images 256 | gzip | head -c 5000 | bad_data "truncated gz" train-images-idx3-ubyte.gz
    images 256 | head -c 5000 | bad_data "truncated images" train-images-idx3-ubyte
    : | bad_data "empty file" train-images-idx3-ubyte
    { printf 'GIF89a'; images 256; } | bad_data "wrong magic" train-images-idx3-ubyte
    labels 256 | bad_data "labels for images" train-images-idx3-ubyte
    labels 255 | bad_data "counts that differ" train-labels-idx1-ubyte
    { labels 256 | head -c 263; printf '\x0a'; } | bad_data "a label over 9" train-labels-idx1-ubyte
    { big 4 2051; big 4 4294967295; big 4 4294967295; big 4 4294967295; } |
        bad_data "sizes that overflow" train-images-idx3-ubyte
    { images 256; printf 'more'; } | bad_data "bytes after the end" train-images-idx3-ubyte
}

bad_weights()
{
    cat >bad.safetensors
    refused "$1" lenet --data data --load bad.safetensors --eval
    refused "$1, by predict" "$examples/predict" bad.safetensors data/t10k-images-idx3-ubyte
    rm -f bad.safetensors
}

refuses_weights()
{
    local size at header
    size=$(wc -c <good.safetensors)
    header_size=$(od -An -tu8 -N8 good.safetensors | tr -d ' ')
    header=$(tail -c +9 good.safetensors | head -c "$header_size")
    weights "$header" | cmp - good.safetensors || fail "this script writes another file than lenet"
    for at in 0 1 7 8 9 $((header_size / 2)) $((8 + header_size - 1)) $((8 + header_size)) \
        $((8 + header_size + 1)) $((size - 1)); do
        head -c "$at" good.safetensors | bad_weights "cut after $at bytes"
    done
    { little 8 $((1 << 63)); tail -c +9 good.safetensors; } | bad_weights "header length of 2^63"
    { little 8 -1; tail -c +9 good.safetensors; } | bad_weights "header length of 2^64-1"
    weights "${header/\[600,624\]/[0,24]}" | bad_weights "overlapping offsets"
    weights "${header/\[600,624\]/[624,600]}" | bad_weights "offsets the wrong way round"
    weights "${header/\"fc3.bias\"/\"fc2.bias\"}" | bad_weights "duplicate names"
    weights "${header/F32/I32}" | bad_weights "wrong dtype"
    weights "${header/\[6,1,5,5\]/[6,1,25]}" | bad_weights "wrong shape"
    weights "${header/\"fc3.bias\"/\"fc4.bias\"}" | bad_weights "a name the model lacks"
    weights "[]" | bad_weights "not an object"
}

data_set data
works
draws
own_pictures
deep
steady
learns
refuses_options
refuses_data
refuses_weights
[ $failures -eq 0 ] || echo "$failures failures"
[ $failures -eq 0 ]

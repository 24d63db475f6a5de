#!/bin/bash
# test_kill.sh: a run that is killed twenty times at random moments, and goes on from its checkpoint
# each time, ends with the weights of one that nobody disturbed, to the byte; so does one that was
# interrupted by Ctrl-C, which saves first and says so. Runs in the build directory. Nothing waits
# for the clock: a moment is a part of what the whole run took here, and a kill that comes before
# the first checkpoint, or a run that ends before its kill, is as good as any.
set -eu
lenet=$PWD/examples/lenet
# as good as any for pictures of noise
bytes=$(cd "$srcdir" && pwd)/tests/parity/lenet-digits.safetensors
dir=$(mktemp -d "${TMPDIR:-/tmp}/gradus-kill.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
kills=20

fail()
{
    echo "FAILED: $*"
    exit 1
}

if ! timeout --foreground -s KILL 10 true 2>/dev/null; then
    echo "timeout is not here, or not GNU's"
    exit 77
fi

# 64 pictures of 28x28, in two files of training and two of testing.
for which in train t10k; do
    { printf '\0\0\10\3\0\0\0\100\0\0\0\34\0\0\0\34'; head -c 50176 "$bytes"; } \
        >$which-images-idx3-ubyte
    {
        printf '\0\0\10\1\0\0\0\100'
        for ((i = 0; i < 64; i++)); do printf "\\$(printf %o $((i % 10)))"; done
    } >$which-labels-idx1-ubyte
done

# 96 steps, a checkpoint after each.
train()
{
    "$@" "$lenet" --data . --batch 8 --epochs 12 --threads 1 --save weights --checkpoint run \
        --checkpoint-steps 1 >>out 2>>err </dev/null
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# A moment within the first N-th of a whole run, as seconds.
moment()
{
    local at=$((1 + (RANDOM * 32768 + RANDOM) % (whole / $1 + 1)))
    printf '%d.%03d' $((at / 1000)) $((at % 1000))
}

# The run has come to its end: with the right weights?
same()
{
    cmp weights undisturbed || fail "$1: other weights ($kill_count kills so far)"
    rm -f run weights
}

kill_count=0 finished=0
"$lenet" --data . --batch 8 --epochs 12 --threads 1 --save undisturbed >/dev/null ||
    fail "lenet: status $?"
began=$(milliseconds)
train env || fail "with checkpoints: status $?: $(cat err)"
whole=$(($(milliseconds) - began))
same "checkpoints alone"

while ((kill_count < kills)); do
    status=0
    train timeout --foreground -s KILL "$(moment 5)" || status=$?
    case $status in
    # 124: it ended by itself while timeout was about to kill it
    0 | 124) finished=$((finished + 1)); same "killed before" ;;
    137) kill_count=$((kill_count + 1)) ;;
    *) fail "status $status: $(cat err)" ;;
    esac
done
train env || fail "after the last kill: status $?: $(cat err)"
same "killed"
resumed=$(grep -c 'resumes from' out || :)
echo "$kills kills; gone on $resumed times; $((finished + 1)) runs came to their end;" \
    "the whole takes $whole ms"
((resumed > 0)) || fail "no run went on from a checkpoint"
rm -f run.*.tmp

# interrupted SIGNAL STATUS: some try comes in the middle of the training, however fast that is.
interrupted()
{
    local tries status
    for ((tries = 0; tries < 100; tries++)); do
        status=0
        : >err
        train timeout --foreground --preserve-status -s "$1" "$(moment 2)" || status=$?
        if [ $status -eq 0 ]; then
            same "before $1"
        elif [ $status -ne "$2" ]; then
            fail "$1: status $status: $(cat err)"
        elif [ -s err ]; then
            [ "$(cat err)" = "lenet: interrupted: saved to run; run the same command to go on" ] ||
                fail "$1: $(cat err)"
            [ -z "$(find . -name 'run.*.tmp')" ] || fail "$1: a temporary file is left"
            train env || fail "after $1: status $?: $(cat err)"
            same "$1"
            return
        fi
    done
    fail "$1: 100 tries, and none came while it trained"
}
interrupted INT 130
interrupted TERM 143

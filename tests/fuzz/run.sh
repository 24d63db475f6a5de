#!/bin/bash
# run.sh: builds the fuzz targets with clang in ./fuzz-build and runs each: once over the kept
# corpus, then for FUZZ_SECONDS with what it finds added to fuzz-build/found, where the next run
# goes on. FUZZ_SEED has the same inputs tried again. `make fuzz` calls it. A failing input stands
# in fuzz-build/failed.
set -eu -o pipefail
clang=${FUZZ_CC:-clang}
seconds=${FUZZ_SECONDS:-60}
targets=${FUZZ_TARGETS:-$ALL_TARGETS}
flags=fuzzer-no-link,address,undefined
build=$PWD/fuzz-build
mkdir -p "$build"

# The library is built anew, by clang with coverage, from what `make distdir` packs: configure
# refuses a folder that is configured already.
if ! echo 'int LLVMFuzzerTestOneInput(const char *b, long n);
    int LLVMFuzzerTestOneInput(const char *b, long n) { return b && n < 0; }' |
    $clang -fsanitize=fuzzer,address,undefined -x c -o "$build/probe" - 2>/dev/null; then
    echo "fuzz: skipped: $clang with libFuzzer is not here" \
        "(Debian: apt install clang; its package libclang-rt-NN-dev holds the fuzzer)"
    exit 0
fi
$MAKE -s distdir distdir="$build/source" >"$build/log" 2>&1 || { tail -n 30 "$build/log"; exit 1; }
mkdir -p "$build/work" "$build/failed"
cd "$build/work"
if [ ! -f config.status ] || [ ../source/configure -nt config.status ]; then
    ../source/configure --quiet CC="$clang" CFLAGS='-g -O1' \
        --disable-shared --enable-sanitizers=$flags >../log 2>&1 || { tail -n 30 ../log; exit 1; }
fi
$MAKE -s fuzz-programs >../log 2>&1 || { tail -n 30 ../log; exit 1; }

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:handle_abort=1}
status=0
for target in $targets; do
    kept=../source/tests/fuzz/corpus/$target
    found=../found/$target
    mkdir -p "$found"
    more=()
    [ -z "${FUZZ_SEED:-}" ] || more+=("-seed=$FUZZ_SEED")
    [ ! -f "../source/tests/fuzz/${target/pictures/picture}.dict" ] ||
        more+=("-dict=../source/tests/fuzz/${target/pictures/picture}.dict")
    # A file takes at most 20 s and 2 GB; the memory that a reader asks for at once, 1 GB.
    if "tests/fuzz/$target" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=8192 \
        -max_total_time="$seconds" -artifact_prefix="../failed/$target-" -print_final_stats=1 \
        "${more[@]}" "$found" "$kept" >"../$target.log" 2>&1; then
        awk -v target="$target" -v files="$(find "$kept" -type f | wc -l)" '
            $1 ~ /^#/ { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
            $1 == "stat::number_of_executed_units:" { runs = $2 }
            END { printf "fuzz: %s: %d kept files, %d runs, %d edges: no failure\n",
                target, files, runs, edges }' "../$target.log"
    else
        status=1
        echo "fuzz: $target FAILED; the input is in fuzz-build/failed," \
            "all that was said in fuzz-build/$target.log:"
        grep -E -A 25 'ERROR: |not so: |runtime error: |SUMMARY: ' "../$target.log" | head -n 60
    fi
done
exit $status

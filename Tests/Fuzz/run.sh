#!/usr/bin/env bash
# Runs the fuzzer on each target, as many targets at once as there are processors, and reports.
#
#     run.sh FUZZER RUNNER FOLDER SECONDS TARGET ...
#
# FUZZER is built with libFuzzer, RUNNER without: it writes the seeds. Exit status 1 when anything
# was found; the inputs are then in FOLDER/crashes.
set -u
fuzzer=$1 runner=$2 folder=$3 seconds=$4
shift 4
mkdir -p "$folder/crashes" "$folder/logs"
rm -f "$folder"/logs/*
export SWIFT_BACKTRACE=enable=no
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1

fuzz() {
    local target=$1 corpus=$folder/corpus/$1 log=$folder/logs/$1
    mkdir -p "$corpus"
    "$runner" seeds "$target" "$folder/seeds/$target" || return 1
    [ -d "Tests/Fuzz/found/$target" ] && cp -n "Tests/Fuzz/found/$target"/* "$corpus"
    DUALITY_FUZZ_TARGET=$target timeout -s KILL $((seconds + 60)) "$fuzzer" "$corpus" "$folder/seeds/$target" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$folder/crashes/$target-" </dev/null >"$log" 2>&1
    local status=$?
    local rate runs
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    if [ $status -eq 0 ]; then
        echo "$target: ${runs:-0} inputs, ${rate:-0} per second, nothing found"
    else
        echo "$target: FOUND (exit $status): $(grep -m1 -E 'Fatal error|ERROR|SUMMARY' "$log" || tail -1 "$log")"
        echo "$target" >>"$folder/logs/found"
    fi
}

for target in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc 2>/dev/null || echo 2)" ]; do wait -n; done
    fuzz "$target" &
done
wait
[ ! -e "$folder/logs/found" ] || { echo "inputs: $folder/crashes"; exit 1; }

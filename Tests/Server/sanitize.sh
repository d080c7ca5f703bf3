#!/bin/bash
# Load, wrong requests and known answers against a server under a sanitizer.
#
#   sanitize.sh address|thread COMMAND PYTHON       COMMAND was built with --sanitize KIND; PYTHON has numpy
#
# Fails when a check does or anything is reported, and prints the reports. They name lines where llvm-symbolizer is found.
set -eu
kind=$1 command=$2 python=$3
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
reports="log_path=$folder/report"
case $kind in
address)
    # Leaks are not looked for: the Swift runtime's own allocations are reported as such.
    export ASAN_OPTIONS="detect_leaks=0:$reports"
    preloaded= ;;
thread)
    export TSAN_OPTIONS="history_size=4:suppressions=$PWD/Sanitizers/thread.supp:$reports"
    clang=$(command -v clang || echo "$(dirname "$(realpath "$(command -v swift)")")/clang")
    "$clang" -O2 -Wall -Wextra -Werror -shared -fPIC Sanitizers/seen.c -o "$folder/seen.so"
    preloaded="LD_PRELOAD=$folder/seen.so" ;;
*) echo "expected address or thread, found $kind" >&2; exit 2 ;;
esac
printf '#!/bin/sh\nexec env %s %s "$@"\n' "$preloaded" "$command" > "$folder/duality"
chmod +x "$folder/duality"
export DUALITY="$folder/duality" PYTHONDONTWRITEBYTECODE=1
failed=0
for check in "check_load.py 300 1 8" check_errors.py check_answers.py; do
    # shellcheck disable=SC2086
    "$python" $check || failed=1
done
for report in "$folder"/report.*; do
    [ -e "$report" ] || continue
    cat "$report"
    failed=1
done
if [ $failed = 0 ]; then echo "ok      $kind sanitizer: nothing reported"; fi
exit $failed

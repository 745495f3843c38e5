#!/usr/bin/env bash
# quiet.sh NAME COMMAND...: runs COMMAND, keeps its output in target/logs/NAME.log, prints the closing lines of the
# test runner it holds when all is well, and the whole log when it is not.
set -uo pipefail
name=$1; shift
logs=${CARGO_TARGET_DIR:-target}/logs
mkdir -p "$logs"
log=$logs/$name.log
start=$SECONDS
# A shell starts its background jobs with SIGINT ignored, and every child would inherit that: tests of Ctrl-C would wait.
env --default-signal=INT "$@" >"$log" 2>&1 </dev/null
status=$?
if [ $status -ne 0 ]; then
    printf '== %s failed (exit %s): %s\n' "$name" "$status" "$*"
    cat "$log"
    exit "$status"
fi
printf '== %s (%s s)\n' "$name" $((SECONDS - start))
grep -E '^test result: |^(=+ )?([0-9]+ failed, )?[0-9]+ passed.* in [0-9.]+s|^([^ :]+: )?[0-9]+ passed, [0-9]+ failed|^ERROR SUMMARY|^==[0-9]+== ERROR SUMMARY' "$log" |
    grep -v '^test result: ok. 0 passed; 0 failed; 0 ignored' || true

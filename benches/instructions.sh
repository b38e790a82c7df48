#!/usr/bin/env bash
# What the basic operations cost in instructions, counted by callgrind and not timed: the difference between two runs of
# gosched-bench whose number of rounds differs. Compared with what is recorded in instructions.txt; one that has become
# dearer by more than the margin there fails. (Counts depend on the compiler: a new one may want new figures.)
#
#   benches/instructions.sh            compare
#   benches/instructions.sh --record   write down what it is now
#
# It is the build of `cargo build --release`, without LTO: what users get who do nothing special.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p gosched-benches --bins
bench=${CARGO_TARGET_DIR:-target}/release/gosched-bench
figures=benches/instructions.txt
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" "$1" --procs 1 --n "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
status=0 out=$(mktemp)
while read -r workload few many operations recorded margin; do
    case $workload in '#'* | '') echo "$workload $few $many $operations $recorded $margin" | sed 's/ *$//' >>"$out" && continue ;; esac
    # `--n` rounds are done five times, and each has so many operations. In tenths of an instruction.
    from=$(instructions "$workload" "$few") to=$(instructions "$workload" "$many")
    now=$(((to - from) * 10 / (5 * (many - few) * operations)))
    printf '%-14s recorded %5d.%d   now %5d.%d\n' "$workload" $((recorded / 10)) $((recorded % 10)) $((now / 10)) $((now % 10))
    if [ $((now * 100)) -gt $((recorded * (100 + margin))) ] && [ "${1:-}" != --record ]; then
        echo "$workload has become dearer by more than $margin %"
        status=1
    fi
    echo "$workload $few $many $operations $now $margin" >>"$out"
done <$figures
if [ "${1:-}" = --record ]; then
    cp "$out" $figures
fi
rm "$out"
exit $status

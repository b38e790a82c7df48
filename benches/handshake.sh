#!/usr/bin/env bash
# What it costs a goroutine to enter the runtime and to leave it: in ns, and in instructions (callgrind, if valgrind is
# there): the difference between two runs whose number of rounds differs by a million.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --profile bench -p gosched-benches
bench=target/release/gosched-bench
$bench handshake
command -v valgrind >/dev/null || exit 0
instructions() {
    GODEBUG=membarrier=${2:-1} valgrind --tool=callgrind --callgrind-out-file=/dev/null $bench handshake --n "$1" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
few=$(instructions 1000000) many=$(instructions 1200000)
# `--n` rounds are done five times.
echo "handshake: $(((many - few) / 10000)) hundredths of an instruction a pair"

#!/usr/bin/env bash
# redis-benchmark against redis-server and kv in turn, without a log; ratios of the medians. On an idle machine.
# ROUNDS, REQUESTS and CLIENTS may be set.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-3} requests=${REQUESTS:-500000} clients=${CLIENTS:-50}
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --profile bench -p gosched-example-kv
dir=$(mktemp -d)
redis-server --port 7401 --save '' --appendonly no --dir "$dir" >/dev/null & redis=$!
GOMAXPROCS=${GOMAXPROCS:-2} "$target/release/kv" --port 7402 >/dev/null & kv=$!
trap 'kill $redis $kv; rm -r "$dir"' EXIT
for port in 7401 7402; do until redis-cli -p $port ping >/dev/null 2>&1; do sleep 0.1; done; done
once() { # port, pipeline, command: requests per second
    redis-benchmark -p "$1" -c "$clients" -n "$requests" -r 100000 -P "$2" -t "$3" --csv | tail -1 | cut -d'"' -f4
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
printf '%-8s %-6s %14s %14s %8s\n' command -P redis-server kv ratio
for pipeline in 1 16; do
    for command in set get; do
        for ((i = 0; i < rounds; i++)); do
            once 7401 $pipeline $command >>"$dir/redis.$command.$pipeline"
            once 7402 $pipeline $command >>"$dir/kv.$command.$pipeline"
        done
        a=$(median <"$dir/redis.$command.$pipeline") b=$(median <"$dir/kv.$command.$pipeline")
        printf '%-8s %-6s %14s %14s %8s\n' $command $pipeline "$a" "$b" "$(awk "BEGIN { printf \"%.2f\", $b / $a }")"
    done
done

#!/usr/bin/env bash
# `/plaintext` of this server beside may_minihttp, hyper (axum) and Go's net/http: wrk asks one after the other, each round in
# a new order; medians, and how many times more we answer. On an idle machine with two CPUs: the server has one, wrk the other.
# One at a time, wrk is busier than the fastest servers and limits what they can answer, so what an answer costs the server
# is measured as well: its CPU time, user and system.
#
# It runs what `benches/compare/servers/run.sh` and `benches/compare/run.sh` have built. ROUNDS (3) and SECS (4) may be set.
set -euo pipefail
cd "$(dirname "$0")/../../benches/compare"
rounds=${ROUNDS:-3} secs=${SECS:-4} own=servers/raw/bin
dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
mkdir "$dir/root"

# serve NAME ADDR: what runs this server there.
serve() {
    case $1 in
    may_minihttp) exec taskset -c 0 raw/bin/may_bench http --procs 1 --addr "$2" ;;
    hyper) exec taskset -c 0 $own/http-tokio --procs 1 --log off --root "$dir/root" --addr "$2" --pipeline-flush ;;
    net/http) exec taskset -c 0 $own/http-go --procs 1 --log off --root "$dir/root" --addr "$2" ;;
    gosched) exec taskset -c 0 $own/http-gosched --procs 1 --log off --root "$dir/root" --addr "$2" ;;
    esac
}

ticks() { # of CPU time that a process has used, by its number: hundredths of a second
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# asked NAME PID ADDR TOGETHER, more of wrk's arguments: answers a second, and microseconds of CPU time for an answer.
asked() {
    local before wrk
    before=$(ticks "$2")
    wrk=$(taskset -c 1 wrk -t1 -c64 "-d${secs}s" "${@:5}" "http://$3/plaintext")
    awk '/^Requests\/sec/ { print $2 }' <<<"$wrk" >>"$dir/${1/\//-}.$4"
    awk -v ticks=$(($(ticks "$2") - before)) '/ requests in / { print ticks * 1e4 / $1 }' <<<"$wrk" >>"$dir/${1/\//-}.$4.cpu"
}

names='gosched may_minihttp hyper net/http' port=$((20000 + RANDOM % 10000))
for ((i = 0; i < rounds; i++)); do
    for name in $(shuf -e -- $names); do
        addr=127.0.0.1:$((port += 1))
        serve $name $addr >/dev/null 2>&1 &
        until (exec 3<>/dev/tcp/${addr/:/\/}) 2>/dev/null; do sleep 0.05; done
        asked $name $! $addr 1
        asked $name $! $addr 16 -s pipeline.lua
        kill $! && wait $! 2>/dev/null || true
    done
done
median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }
line() { # what it is, the files' ends, the format of a number, 1 where more of ours is better and -1 where less is
    local ours theirs
    ours=$(median "$dir/gosched.$2")
    printf '%-28s' "$1"
    for name in $names; do
        theirs=$(median "$dir/${name/\//-}.$2")
        printf '%22s' "$(awk "BEGIN { printf \"$3 (%.2f)\", $theirs, ($ours / $theirs) ^ $4 }")"
    done
    echo
}
printf '%-28s' ''
printf '%22s' $names
echo
for together in 1 16; do
    line "$together at a time, a second" $together %d 1
    line "  CPU, µs an answer" $together.cpu %.2f -1
done

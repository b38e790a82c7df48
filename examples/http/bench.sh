#!/usr/bin/env bash
# `/plaintext` of this server beside may_minihttp, hyper (axum) and Go's net/http: wrk asks each in turn, round after round;
# medians, and how many times more we answer. On an idle machine with two CPUs: the server has one, wrk the other.
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

asked() { # address, more of wrk's arguments: answers per second
    taskset -c 1 wrk -t1 -c64 "-d${secs}s" "${@:2}" "http://$1/plaintext" | awk '/^Requests\/sec/ { print $2 }'
}

names='gosched may_minihttp hyper net/http' port=$((20000 + RANDOM % 10000))
for ((i = 0; i < rounds; i++)); do
    for name in $names; do
        addr=127.0.0.1:$((port += 1))
        serve $name $addr >/dev/null 2>&1 &
        until (exec 3<>/dev/tcp/${addr/:/\/}) 2>/dev/null; do sleep 0.05; done
        asked $addr >>"$dir/${name/\//-}.1"
        asked $addr -s pipeline.lua >>"$dir/${name/\//-}.16"
        kill $! && wait $! 2>/dev/null || true
    done
done
median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }
printf '%-16s' 'at a time'
printf '%22s' $names
echo
for together in 1 16; do
    ours=$(median "$dir/gosched.$together")
    printf '%-16s' $together
    for name in $names; do
        theirs=$(median "$dir/${name/\//-}.$together")
        printf '%22s' "$(awk "BEGIN { printf \"%d (%.2f)\", $theirs, $ours / $theirs }")"
    done
    echo
done

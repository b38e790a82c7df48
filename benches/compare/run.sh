#!/usr/bin/env bash
# gosched beside Go, tokio, may and threads: builds all programs and runs them in turn, round after round, on each workload.
#
#   benches/compare/run.sh [WORKLOAD...]    build, run, print the table; with `--write`, write the page and the plots
#   benches/compare/run.sh --table          only print the table of what has been run
#   benches/compare/run.sh --write          only write ../RESULTS.md and the plots of what has been run
#
# Environment: ROUNDS (3), PROCS ("1 2"), ONLY ("gosched go": just these programs), GO (the go command), SECS (3: how long a
# server is under load). The lines go to raw/, one file for each workload; running it again replaces its file.
#
# It needs Go, wrk, python3, and two CPUs: servers have the first, their clients the second.
set -euo pipefail
cd "$(dirname "$0")"
GO=${GO:-go} ROUNDS=${ROUNDS:-3} PROCS=${PROCS:-1 2} ONLY=${ONLY:-} SECS=${SECS:-3}
ALL='spawn yield2 yield1000 pingpong chan_buffered chan_mpmc select2 select8 ring sieve skynet parked1m timers mutex rwlock
echo http hog_spin hog_block idle'
BIN=raw/bin
. ./turns.sh

case ${1:-} in
--table) exec ./report.py ;;
--write) exec ./report.py --write ;;
-*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
esac

# The programs are copied, so that no later build puts another one in their place while they are measured.
build() {
    mkdir -p $BIN
    (cd ../.. && cargo build --quiet --profile bench -p gosched-benches --bin gosched-bench)
    cp "${CARGO_TARGET_DIR:-../../target}/release/gosched-bench" $BIN/
    (cd rust && cargo build --quiet --release)
    local program
    for program in tokio_bench may_bench thread_bench loop_bench loadgen; do
        cp "${CARGO_TARGET_DIR:-rust/target}/release/$program" $BIN/
    done
    (cd go && "$GO" build -o ../$BIN/go_bench .)
}

# What the page says about the machine and the programs.
facts() {
    echo "date: $(date -u +%F)"
    echo "commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- ../.. || echo ', with changes')"
    echo "CPU: $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1), $(nproc) of them"
    echo "memory: $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
    echo "kernel: $(uname -sr)"
    echo "rustc: $(rustc --version | cut -d ' ' -f 2)"
    echo "Go: $("$GO" version | cut -d ' ' -f 3 | sed 's/^go//')"
    echo "crates: $(cd rust && cargo tree --quiet --depth 1 --prefix none |
        grep -E '^(async-channel|crossbeam-channel|hyper|kanal|may|may_minihttp|mio|parking_lot|tokio) ' |
        sed 's/ v/ /; s/ (.*//' | sort -u | paste -sd ';' | sed 's/;/, /g')"
    echo "wrk: $(wrk --version 2>&1 | awk 'NR == 1 { print $2 }')"
    echo "rounds: $ROUNDS"
}

# programs WORKLOAD PROCS: lines `name command`.
programs() {
    local name command
    {
        echo "gosched $BIN/gosched-bench"
        [ "$1" != hog_block ] || echo "gosched+syscall $BIN/gosched-bench --syscall"
        echo "go $BIN/go_bench"
        echo "tokio $BIN/tokio_bench"
        [ "$2" != 1 ] || echo "tokio-ct $BIN/tokio_bench --current"
        [ "$1" != hog_block ] || echo "tokio+spawn_blocking $BIN/tokio_bench --blocking"
        echo "may $BIN/may_bench"
        echo "thread $BIN/thread_bench"
        [ "$1.$2" != echo.1 ] || echo "loop $BIN/loop_bench"
    } | while read -r name command; do
        case " $ONLY " in '  ' | *" $name "* | *" ${name%%[+-]*} "*) echo "$name $command" ;; esac
    done
}

# serve COMMAND...: starts a server and waits until it listens. Sets SERVER, its process.
serve() {
    local i
    : >raw/server.out
    "$@" >raw/server.out 2>/dev/null &
    SERVER=$!
    for ((i = 0; i < 100; i++)); do
        grep -q ready raw/server.out && return 0
        kill -0 $SERVER 2>/dev/null || break
        sleep 0.05
    done
    return 1
}

stop() {
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
}

PORT=$((20000 + RANDOM % 10000))

# under_load WORKLOAD NAME PROCS COMMAND PINNED CLIENT...: what the client says of the server. CLIENT has ADDR in it.
under_load() {
    local workload=$1 name=$2 procs=$3 command=$4 pinned=$5 first='' second=''
    shift 5
    [ "$pinned" = no ] || { first='taskset -c 0' second='taskset -c 1'; }
    PORT=$((PORT + 1))
    # shellcheck disable=SC2086 # a command is several words
    if serve $first $command "$workload" --procs "$procs" --addr 127.0.0.1:$PORT; then
        # shellcheck disable=SC2086
        $second timeout 60 "${@//ADDR/127.0.0.1:$PORT}" 2>/dev/null || true
    fi
    stop
}

# measure WORKLOAD NAME PROCS COMMAND: prints result lines.
measure() {
    local workload=$1 name=$2 procs=$3 command=$4 said c pipelined
    case $workload in
    echo)
        for c in 1 64 1000; do
            said=$(under_load echo "$name" "$procs" "$command" yes $BIN/loadgen echo ADDR $c "$SECS")
            awk -v w=echo.c$c -v who="$name $procs" 'NF == 4 { print w ".rps", who, $1, "req/s"; print w ".p50", who, $2, "us"
                print w ".p99", who, $3, "us"; print w ".p999", who, $4, "us"; found = 1 }
                END { if (!found) print w ".rps", who, "n/a no_answer" }' <<<"$said"
        done
        ;;
    http)
        for pipelined in 1 16; do
            local script=()
            [ $pipelined = 1 ] || script=(-s pipeline.lua)
            said=$(under_load http "$name" "$procs" "$command" yes \
                wrk -t1 -c64 "-d${SECS}s" --latency "${script[@]}" http://ADDR/)
            # With requests in a pipeline wrk's latencies mean nothing.
            awk -v w=http.pipe$pipelined -v who="$name $procs" -v latency=$((pipelined == 1)) '
                function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1000 : t * 1000000 }
                /^Requests\/sec/ && $2 > 0 { print w ".rps", who, $2, "req/s"; found = 1 }
                latency && $1 == "50%" { print w ".p50", who, us($2), "us" }
                latency && $1 == "99%" { print w ".p99", who, us($2), "us" }
                END { if (!found) print w ".rps", who, "n/a no_answer" }' <<<"$said"
        done
        ;;
    hog_*)
        # With two Ps the server has both CPUs, and the client shares them.
        said=$(under_load "$workload" "$name" "$procs" "$command" "$([ "$procs" = 1 ] && echo yes || echo no)" \
            $BIN/loadgen ping ADDR $((SECS + 1)))
        awk -v w="$workload" -v who="$name $procs" 'NF == 4 { print w ".p50", who, $1, "us"; print w ".p99", who, $2, "us"
            print w ".max", who, $3, "us"; print w ".pings", who, $4, "pings"; found = 1 }
            END { if (!found) print w ".p50", who, "n/a no_answer" }' <<<"$said"
        ;;
    *)
        # shellcheck disable=SC2086
        timeout 90 $command "$workload" --procs "$procs" 2>/dev/null || echo "$workload $name $procs n/a failed"
        ;;
    esac
}

build
facts >raw/facts
workloads=${*:-$ALL}
for workload in $workloads; do
    : >"raw/$workload.txt"
    for ((round = 1; round <= ROUNDS; round++)); do
        for procs in $PROCS; do
            # A server with one CPU needs one P.
            case $workload.$procs in echo.1 | http.1) ;; echo.* | http.*) continue ;; esac
            while read -r name command; do
                turn $round "raw/$workload.txt" "$workload" "$name" "$procs" "$command" </dev/null
            done < <(programs "$workload" "$procs")
        done
    done
done
./report.py

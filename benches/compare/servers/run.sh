#!/usr/bin/env bash
# The servers of examples/http and examples/chat beside Go's and tokio's: builds all and runs them in turn, by rounds.
#
#   benches/compare/servers/run.sh            build, run, print the tables
#   benches/compare/servers/run.sh --write    the same, and write the tables into docs/servers-compared.md
#   benches/compare/servers/run.sh --tables   only print the tables of what has been run; with --write, only write them
#   benches/compare/servers/run.sh --check    only look whether what docs/servers-compared.md quotes is what the files say
#
# Environment: ROUNDS (3), PROCS ("1 2"), SECS (3: how long a server is under load), ONLY ("gosched go tokio"), WORKLOADS
# ("http https chat"), GO (the go command), QUICK=1 (one short round with one CPU: does everything work?), BUILD=no (with
# the programs in raw/bin).
#
# It needs Go, wrk, python3, and two CPUs. With one CPU for a server its client has the other; with two they share both.
# Go's chat server is built with gorilla/websocket and bbolt of Debian's golang-github-gorilla-websocket-dev and
# golang-github-coreos-bbolt-dev where these are installed, and else with what `go` fetches.
set -euo pipefail
cd "$(dirname "$0")"
[ -z "${QUICK:-}" ] || { ROUNDS=${ROUNDS:-1} PROCS=${PROCS:-1} SECS=${SECS:-1}; }
GO=${GO:-go} ROUNDS=${ROUNDS:-3} PROCS=${PROCS:-1 2} SECS=${SECS:-3}
ONLY=${ONLY:-gosched go tokio} WORKLOADS=${WORKLOADS:-http https chat}
MEMBERS=1000 MESSAGES=400 # of the chat: members, and messages a second
BIN=$PWD/raw/bin DIR=$PWD/raw/dir RESULTS=raw/results.txt
. ../turns.sh

write=() tables=
for word; do
    case $word in
    --write) write=(--write) ;;
    --tables) tables=yes ;;
    --check) exec ./report.py --check ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
    esac
done
[ -z "$tables" ] || exec ./report.py "${write[@]}"

# The modules that Go's chat server needs, in a go.mod of our own, so that the one in git says nothing of this machine.
modules() {
    local module from=/usr/share/gocode/src
    cp go/go.mod raw/go.mod
    for module in github.com/gorilla/websocket go.etcd.io/bbolt golang.org/x/sys; do
        [ -d $from/$module ] || continue
        mkdir -p raw/gocode/$module
        cp -rL $from/$module/. raw/gocode/$module/
        [ -e raw/gocode/$module/go.mod ] || echo "module $module" >raw/gocode/$module/go.mod
        "$GO" mod edit -replace "$module=$PWD/raw/gocode/$module" raw/go.mod
    done
}

# The programs are copied, so that no later build puts another one in their place while they are measured. What cannot be
# built is n/a.
build() {
    local program
    mkdir -p "$BIN"
    rm -f "$BIN"/*
    (cd ../../.. && cargo build --quiet --profile bench -p gosched-example-http -p gosched-example-chat)
    cp "${CARGO_TARGET_DIR:-../../../target}/release/gosched-example-http" "$BIN/http-gosched"
    cp "${CARGO_TARGET_DIR:-../../../target}/release/chat" "$BIN/chat-gosched"
    (cd tokio && cargo build --quiet --release)
    for program in http-tokio chat-tokio tls-load rooms-load; do
        cp "${CARGO_TARGET_DIR:-tokio/target}/release/$program" "$BIN/"
    done
    modules
    for program in http chat; do
        (cd go && "$GO" build -mod=mod -modfile=../raw/go.mod -o "$BIN/$program-go" ./$program) ||
            echo "$program in Go cannot be built" >&2
    done
}

# What the page says about the machine and the programs.
facts() {
    echo "date: $(date -u +%F)"
    echo "commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- ../../.. || echo ', with changes')"
    echo "CPU: $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1), $(nproc) of them"
    echo "kernel: $(uname -sr)"
    echo "rustc: $(rustc --version | cut -d ' ' -f 2)"
    echo "Go: $("$GO" version | cut -d ' ' -f 3 | sed 's/^go//')"
    echo "Go modules: $(awk '/^\t(github|go\.etcd)/ { print $1, $2 }' go/go.mod | paste -sd ';' | sed 's/;/, /g')"
    echo "crates: $(cd tokio && cargo tree --quiet --depth 1 --prefix none |
        grep -E '^(axum|hyper|hyper-util|redb|rustls|tokio|tokio-rustls|tokio-tungstenite|tower-http) ' |
        sed 's/ v/ /; s/ (.*//' | sort -u | paste -sd ';' | sed 's/;/, /g')"
    echo "wrk: $(wrk --version 2>&1 | awk 'NR == 1 { print $2 }')"
    echo "rounds: $ROUNDS of $SECS s"
}

# Counts lines that are neither blank nor comments, without the unit tests at a file's foot.
CODE='FNR == 1 { tests = 0 } /^#\[cfg\(test\)\]/ { tests = 1 }
    !tests && !/^[ \t]*$/ && !/^[ \t]*\/\// { n++ } END { print n + 0 }'
code() { awk "$CODE" "$@"; }

# How much code there is: `workload program lines lines-of-the-protocol`; the latter are what net/http and hyper bring.
lines() {
    local http=../../../examples/http/src chat=../../../examples/chat/src all own
    all=$(code $http/*.rs)
    own=$(code $http/{head,body,input,conn,exchange,transport,refused,date,router}.rs)
    echo "http gosched $((all - own)) $own"
    echo "http go $(code go/http/*.go) 0"
    echo "http tokio $(code tokio/src/bin/http-tokio/*.rs tokio/src/lib.rs) 0"
    all=$(find $chat -name '*.rs' ! -name load.rs -print0 | sort -z | xargs -0 awk "$CODE")
    own=$(code $chat/{door,answer,wire}.rs)
    echo "chat gosched $((all - own)) $own"
    echo "chat go $(code go/chat/*.go) 0"
    echo "chat tokio $(code tokio/src/bin/chat-tokio/*.rs tokio/src/lib.rs) 0"
}

# serve COMMAND...: starts a server and waits until it listens. Sets SERVER, its process, and ADDR.
serve() {
    local i
    : >raw/server.out
    "$@" --addr 127.0.0.1:0 >raw/server.out 2>raw/server.err &
    SERVER=$!
    for ((i = 0; i < 200; i++)); do
        ADDR=$(sed -n 's,.* on [a-z]*://\([^/]*\)/.*,\1,p' raw/server.out)
        [ -z "$ADDR" ] || return 0
        kill -0 $SERVER 2>/dev/null || break
        sleep 0.05
    done
    return 1
}

# Ends the server in order; one that does not end is killed.
stop() {
    local i
    kill "$SERVER" 2>/dev/null || true
    for ((i = 0; i < 300; i++)); do
        kill -0 "$SERVER" 2>/dev/null || break
        sleep 0.05
    done
    kill -9 "$SERVER" 2>/dev/null && echo "a server did not end: $1" >&2
    wait "$SERVER" 2>/dev/null || true
}

rss() { awk '/^VmRSS/ { print $2 }' "/proc/$SERVER/status" 2>/dev/null || true; }

# said WHO WORKLOAD.PART UNIT...: what a client has said, a number for each unit; `-` is left out. Nothing: n/a.
said() {
    local who=$1 part
    shift
    read -ra numbers || true
    local i=0
    for part; do
        [ "$part" = - ] || echo "${part%=*} $who ${numbers[i]:-n/a} ${part#*=}"
        i=$((i + 1))
    done
}

# measure WORKLOAD NAME PROCS: result lines.
measure() {
    local workload=$1 name=$2 procs=$3 first='' second='' mode
    local who="$name $procs"
    [ "$procs" != 1 ] || first='taskset -c 0' second='taskset -c 1'
    rm -rf "$DIR" && mkdir -p "$DIR"
    head -c 1048576 /dev/urandom >"$DIR/big.bin"
    local http="$first $BIN/http-$name --procs $procs --log off --root $DIR"
    # shellcheck disable=SC2086 # commands of several words
    case $workload in
    http)
        # Without it hyper writes each answer by itself.
        [ $name != tokio ] || http="$http --pipeline-flush"
        serve $http || true
        for mode in 1 16; do
            local script=() parts=(plaintext.rps=req/s plaintext.p99=us)
            [ $mode = 1 ] || script=(-s ../pipeline.lua) parts=(pipelined.rps=req/s -)
            $second timeout 60 wrk -t1 -c64 "-d${SECS}s" --latency "${script[@]}" "http://$ADDR/plaintext" 2>/dev/null |
                awk 'function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1000 : t * 1000000 }
                    $1 == "99%" { p99 = us($2) } /Non-2xx/ { bad = 1 }
                    /^Requests\/sec/ && $2 > 0 && !bad { print $2, p99 }' | said "$who" "${parts[@]}" || true
        done
        rss | said "$who" http.rss=KiB
        ;;
    https)
        serve $http --tls "$DIR/ca.pem" || true
        for mode in full resumed get post; do
            $second timeout 60 "$BIN/tls-load" $mode "$ADDR" 16 "$SECS" $SERVER 2>>raw/clients.err |
                said "$who" https.$mode.rps=$mode/s https.$mode.cpu=us || true
        done
        rss | said "$who" https.rss=KiB
        ;;
    chat)
        serve $first "$BIN/chat-$name" --procs "$procs" --history "$DIR/history" || true
        $second timeout 120 "$BIN/rooms-load" "$ADDR" $MEMBERS $MESSAGES "$SECS" $SERVER 2>>raw/clients.err |
            said "$who" chat.p50=us chat.p99=us chat.heard=heard/s chat.lost=lost chat.idle=KiB chat.rss=KiB chat.cpu=us ||
            true
        ;;
    esac
    stop "$workload $who"
}

mkdir -p raw
[ "${BUILD:-yes}" = no ] || build
facts >raw/facts
lines >raw/lines
: >$RESULTS
: >raw/clients.err
for ((round = 1; round <= ROUNDS; round++)); do
    for procs in $PROCS; do
        for workload in $WORKLOADS; do
            for name in $ONLY; do
                turn $round $RESULTS "$workload" "$name" "$procs" </dev/null
            done
        done
    done
done
./report.py "${write[@]}"

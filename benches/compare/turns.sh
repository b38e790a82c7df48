# Turns on a machine that others use as well: waits until it is quiet, and writes down what others took. For run.sh here and
# in servers/, which have a function `measure`, and a directory raw/.
# shellcheck shell=bash

# Time that the CPUs have been busy, by anybody and by the hypervisor for others, in hundredths of a second.
busy() {
    local user nice system irq softirq steal
    read -r _ user nice system _ _ irq softirq steal _ </proc/stat
    echo $((user + nice + system + irq + softirq + steal))
}

# Waits until the machine is quiet; for five seconds, no longer.
quiet() {
    local before i
    for ((i = 0; i < 10; i++)); do
        before=$(busy)
        sleep 0.5
        [ $(($(busy) - before)) -gt 5 ] || return 0
    done
}

# turn ROUND FILE WORKLOAD NAME PROCS [MORE...]: one program's turn, by `measure WORKLOAD NAME PROCS [MORE...]`. Its lines go to
# FILE, each with its round and with what others took meanwhile, in per cent of one CPU: all that was used, less what the
# program and its client used. With QUICK set it waits for nothing.
turn() {
    local round=$1 file=$2 before after began ended own others
    shift 2
    [ -n "${QUICK:-}" ] || quiet
    began=$(date +%s%N) before=$(busy)
    TIMEFORMAT='%U %S'
    { time measure "$@" >raw/turn; } 2>raw/time
    after=$(busy) ended=$(date +%s%N)
    own=$(awk 'END { printf "%d", ($1 + $2) * 100 }' raw/time)
    others=$(((after - before - own) * 1000000000 / (ended - began)))
    [ $others -ge 0 ] || others=0
    awk -v head="$round $others" 'NF == 5 { print head, $0 }' raw/turn >>"$file"
    echo "$1 round $round procs $3 $2$([ $others -le 8 ] || echo ": others took $others % of a CPU")" >&2
}

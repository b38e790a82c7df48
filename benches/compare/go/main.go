// The workloads of gosched-bench in Go: one workload per call, the same command line, the same lines.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

var (
	workload string
	procs    = flag.Int("procs", 1, "GOMAXPROCS")
	count    = flag.Int("n", 0, "how many goroutines or leaves; or how many rounds, in place of the calibration")
	addr     = flag.String("addr", "127.0.0.1:7000", "where a server listens")
)

func main() {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintln(os.Stderr, "usage: WORKLOAD [--procs N] [--n N] [--addr HOST:PORT]")
		os.Exit(2)
	}
	workload = os.Args[1]
	flag.CommandLine.Parse(os.Args[2:])
	runtime.GOMAXPROCS(*procs)

	switch workload {
	case "spawn":
		perOp("", 10, 1000, spawn)
	case "yield2":
		perOp("", 1000, 2, func(n int) time.Duration { return yields(2, n) })
	case "yield1000":
		perOp("", 10, 1000, func(n int) time.Duration { return yields(1000, n) })
	case "pingpong":
		perOp("", 1000, 2, pingpong)
	case "chan_buffered":
		perOp("", 1000, 1, buffered)
	case "chan_mpmc":
		perOp("", 1000, 4, mpmc)
	case "select2":
		perOp("", 1000, 2, select2)
	case "select8":
		perOp("", 1000, 8, select8)
	case "ring":
		perOp("", 1000, 1, ring)
	case "sieve":
		whole("", sieve)
	case "skynet":
		whole("", func() time.Duration { return skynet(usually(1_000_000)) })
	case "parked1m":
		parked(usually(1_000_000))
	case "timers":
		timers(usually(100_000))
	case "mutex":
		perOp("", 1000, 8, mutex)
	case "rwlock":
		perOp("", 1000, 8, func(n int) time.Duration { return rwlock(true, n) })
		perOp("number", 1000, 8, func(n int) time.Duration { return rwlock(false, n) })
	case "idle":
		idle(usually(10_000))
	case "echo":
		served(60, func() error { return echo(*addr, nil) })
	case "hog_spin":
		served(20, func() error { return echo(*addr, spin) })
	case "hog_block":
		served(20, func() error { return echo(*addr, block) })
	case "http":
		served(60, func() error { return answer(*addr) })
	default:
		fmt.Printf("%s go %d n/a no_such_workload\n", workload, *procs)
	}
}

func usually(n int) int {
	if *count > 0 {
		return *count
	}
	return n
}

// A server ends after so many seconds.
func served(secs int, server func() error) {
	go func() {
		time.Sleep(time.Duration(secs) * time.Second)
		os.Exit(0)
	}()
	if err := server(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

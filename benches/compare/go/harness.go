// Repetition, the machine's counters, and the lines that are printed: as benches/src/harness.rs.
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	repetition  = 200 * time.Millisecond
	repetitions = 5
	// No calibration and no row of repetitions goes on for longer than this.
	patience = 3 * time.Second
)

func report(part, variant string, value float64, unit string) {
	name := "go"
	if part != "" {
		part = "." + part
	}
	if variant != "" {
		name += "+" + variant
	}
	fmt.Printf("%s%s %s %d %.1f %s\n", workload, part, name, *procs, value, unit)
}

// work(n) does n rounds of so many operations each: reports ns per operation, of the median repetition.
func perOp(variant string, least, ops int, work func(n int) time.Duration) {
	n := *count
	if n <= 0 {
		n = calibrate(least, work)
	}
	d := median(func() time.Duration { return work(n) })
	report("", variant, float64(d.Nanoseconds())/(float64(n)*float64(ops)), "ns/op")
}

// Work of one size: reports ms, of the median repetition, after one that does not count.
func whole(variant string, work func() time.Duration) {
	work()
	report("", variant, millis(median(work)), "ms")
}

// Rounds for one repetition. They get more until they can be timed; from there it is a matter of proportion.
func calibrate(least int, work func(n int) time.Duration) int {
	began := time.Now()
	for n := least; ; {
		took := work(n)
		if took >= repetition/4 || time.Since(began) >= patience {
			return max(least, int(float64(n)*float64(repetition)/float64(took)))
		}
		if took < repetition/20 {
			n *= 4
		} else {
			n *= 2
		}
	}
}

func median(work func() time.Duration) time.Duration {
	began := time.Now()
	took := []time.Duration{work()}
	for len(took) < repetitions && time.Since(began) < patience {
		took = append(took, work())
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func millis(d time.Duration) float64 { return d.Seconds() * 1e3 }

// What the process has used up so far: CPU time and context switches.
func usage() (cpu time.Duration, switches int64) {
	var r syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), r.Nvcsw + r.Nivcsw
}

// The most memory that was ever resident, in bytes.
func peakResident() int {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmHWM:" {
			kib, err := strconv.Atoi(f[1])
			check(err)
			return kib * 1024
		}
	}
	panic("no VmHWM")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Goroutines without channels.
package main

import (
	"net"
	"runtime"
	"sync"
	"time"
)

// Goroutines that end at once, a thousand at a time.
func spawn(batches int) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for range batches {
		wg.Add(1000)
		for range 1000 {
			go wg.Done()
		}
		wg.Wait()
	}
	return time.Since(began)
}

// Starts n goroutines and waits for them all.
func all(n int, body func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(body)
	}
	wg.Wait()
}

func yields(tasks, times int) time.Duration {
	began := time.Now()
	all(tasks, func() {
		for range times {
			runtime.Gosched()
		}
	})
	return time.Since(began)
}

// Eight goroutines want one lock.
func mutex(times int) time.Duration {
	var lock sync.Mutex
	counter := 0
	began := time.Now()
	all(8, func() {
		for range times {
			lock.Lock()
			counter++
			lock.Unlock()
		}
	})
	took := time.Since(began)
	if counter != 8*times {
		panic("additions are lost")
	}
	return took
}

var sink uint64 // that the sums are not thrown away

// Eight goroutines read under one lock: a table of 1,000 numbers, or just one of them.
func rwlock(whole bool, times int) time.Duration {
	var lock sync.RWMutex
	numbers := make([]uint64, 1000)
	for i := range numbers {
		numbers[i] = uint64(i)
	}
	began := time.Now()
	all(8, func() {
		for range times {
			var sum uint64
			lock.RLock()
			if whole {
				for _, v := range numbers {
					sum += v
				}
			} else {
				sum = numbers[7]
			}
			lock.RUnlock()
			if sum == 1 {
				sink = sum
			}
		}
	})
	return time.Since(began)
}

// Very many goroutines that wait on one channel: what each takes of memory, to start, and to wake by a close.
func parked(n int) {
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	ready.Add(n)
	done.Add(n)

	empty, began := peakResident(), time.Now()
	for range n {
		go func() {
			ready.Done()
			<-gate
			done.Done()
		}()
	}
	ready.Wait()
	started, full := time.Since(began), peakResident()

	began = time.Now()
	close(gate)
	done.Wait()
	woken := time.Since(began)

	report("n", "", float64(n), "tasks")
	report("rss", "", float64(full-empty)/float64(n), "B/task")
	report("spawn", "", float64(started)/float64(n), "ns/task")
	report("wake", "", float64(woken)/float64(n), "ns/task")
}

// The sleeps of one task: 100, of 1 to 10 ms. The same row as in benches/src/naps.rs.
func naps(task int, each func(time.Duration)) {
	x := uint64(task+1) * 0x9E3779B97F4A7C15
	for range 100 {
		x ^= x >> 12
		x ^= x << 25
		x ^= x >> 27
		each(time.Duration(1000+(x*0x2545F4914F6CDD1D)>>33%9001) * time.Microsecond)
	}
}

// Very many goroutines that sleep again and again.
func timers(n int) {
	var ideal time.Duration
	for task := range n {
		var sum time.Duration
		naps(task, func(nap time.Duration) { sum += nap })
		ideal = max(ideal, sum)
	}
	var wg sync.WaitGroup
	cpu, _ := usage()
	began := time.Now()
	for task := range n {
		wg.Go(func() { naps(task, time.Sleep) })
	}
	wg.Wait()
	wall := time.Since(began)
	after, _ := usage()
	report("n", "", float64(n), "tasks")
	report("wall", "", millis(wall), "ms")
	report("over", "", millis(wall-ideal), "ms_over_ideal")
	report("cpu", "", millis(after-cpu), "ms_cpu")
}

// A server nobody calls and goroutines that nobody wakes: what they cost in five seconds.
func idle(n int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go listener.Accept()
	gate := make(chan struct{})
	for range n {
		go func() { <-gate }()
	}
	time.Sleep(1500 * time.Millisecond) // until the start is over
	cpu, switches := usage()
	time.Sleep(5 * time.Second)
	cpuAfter, switchesAfter := usage()
	report("cpu", "", millis(cpuAfter-cpu), "ms_cpu/5s")
	report("ctxsw", "", float64(switchesAfter-switches), "switches/5s")
	close(gate)
}

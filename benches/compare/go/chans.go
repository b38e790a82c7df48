// Channels and select.
package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// A value goes over and comes back, n times, through two unbuffered channels.
func pingpong(n int) time.Duration {
	there, back := make(chan int), make(chan int)
	began := time.Now()
	go func() {
		for v := range there {
			back <- v
		}
	}()
	for i := range n {
		there <- i
		if <-back != i {
			panic("another one")
		}
	}
	took := time.Since(began)
	close(there)
	return took
}

// One sends, one receives, 128 places between them.
func buffered(n int) time.Duration {
	values := make(chan int, 128)
	began := time.Now()
	go func() {
		for i := range n {
			values <- i
		}
		close(values)
	}()
	got := 0
	for range values {
		got++
	}
	took := time.Since(began)
	if got != n {
		panic("values are lost")
	}
	return took
}

// Four send, four receive.
func mpmc(n int) time.Duration {
	values := make(chan int, 128)
	var senders, receivers sync.WaitGroup
	var got atomic.Int64
	began := time.Now()
	for range 4 {
		senders.Go(func() {
			for i := range n {
				values <- i
			}
		})
		receivers.Go(func() {
			mine := 0
			for range values {
				mine++
			}
			got.Add(int64(mine))
		})
	}
	senders.Wait()
	close(values)
	receivers.Wait()
	took := time.Since(began)
	if got.Load() != int64(4*n) {
		panic("values are lost")
	}
	return took
}

// An unbuffered channel with a goroutine that sends n values.
func source(n int) chan int {
	values := make(chan int)
	go func() {
		for i := range n {
			values <- i
		}
	}()
	return values
}

func select2(n int) time.Duration {
	began := time.Now()
	a, b := source(n), source(n)
	for range 2 * n {
		select {
		case <-a:
		case <-b:
		}
	}
	return time.Since(began)
}

func select8(n int) time.Duration {
	began := time.Now()
	a, b, c, d := source(n), source(n), source(n), source(n)
	e, f, g, h := source(n), source(n), source(n), source(n)
	for range 8 * n {
		select {
		case <-a:
		case <-b:
		case <-c:
		case <-d:
		case <-e:
		case <-f:
		case <-g:
		case <-h:
		}
	}
	return time.Since(began)
}

// A number goes round a ring of a thousand goroutines; each takes one off. Who sees zero closes its channel and ends, and so
// does its successor, and so on.
func ring(hops int) time.Duration {
	const size = 1000
	hops = hops / size * size
	first, end := make(chan int), make(chan struct{})
	in := first
	for i := range size {
		out := make(chan int)
		if i == size-1 {
			out = first
		}
		go func(in, out chan int) {
			for v := range in {
				if v == 0 {
					break
				}
				out <- v - 1
			}
			if i == size-1 {
				close(end)
			} else {
				close(out)
			}
		}(in, out)
		in = out
	}
	began := time.Now()
	first <- hops
	<-end
	return time.Since(began)
}

// Finds primes: a chain of filters, one goroutine for each prime found.
func sieve() time.Duration {
	const primes, lastPrime = 2000, 17_389
	began := time.Now()
	in := make(chan int)
	go func(out chan int) {
		for i := 2; i <= lastPrime; i++ {
			out <- i
		}
		close(out)
	}(in)
	found := 0
	for {
		prime, ok := <-in
		if !ok {
			break
		}
		found++
		out := make(chan int)
		go func(in, out chan int) {
			for v := range in {
				if v%prime != 0 {
					out <- v
				}
			}
			close(out)
		}(in, out)
		in = out
	}
	if found != primes {
		panic("not all primes are found")
	}
	return time.Since(began)
}

// A tree of goroutines, ten to a node, with so many leaves; sums go up.
func skynet(leaves int) time.Duration {
	began := time.Now()
	up := make(chan int)
	go node(up, 0, leaves)
	if <-up != leaves*(leaves-1)/2 {
		panic("the sum is wrong")
	}
	return time.Since(began)
}

func node(up chan int, number, leaves int) {
	if leaves == 1 {
		up <- number
		return
	}
	sums, part := make(chan int), leaves/10
	for i := range 10 {
		go node(sums, number+i*part, part)
	}
	sum := 0
	for range 10 {
		sum += <-sums
	}
	up <- sum
}

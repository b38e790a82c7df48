// Servers on loopback. HTTP is net/http's.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Sends back what comes. After the first answer, four goroutines hog start, if there is one.
func echo(addr string, hog func()) error {
	var started sync.Once
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() { // (Go sets TCP_NODELAY by itself.)
			defer conn.Close()
			buf := make([]byte, 4096)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				if _, err := conn.Write(buf[:n]); err != nil {
					return
				}
				if hog != nil {
					started.Do(func() {
						for range 4 {
							go hog()
						}
					})
				}
			}
		}()
	}
}

// 15 seconds of computing without a call that could yield.
func spin() {
	for began := time.Now(); time.Since(began) < 15*time.Second; {
		for range 10_000 {
		}
	}
}

// 15 seconds of calls that block the thread. (Go's scheduler hears of each: it has no other calls of the system.)
func block() {
	for range 300 {
		left := syscall.NsecToTimespec(int64(50 * time.Millisecond))
		for syscall.Nanosleep(&left, &left) == syscall.EINTR {
		}
	}
}

// Answers every request with a short text.
func answer(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Hello, World!")
	}))
}

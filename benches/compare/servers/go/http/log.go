package main

import (
	"io"
	"log/slog"
	"net/http"
	"time"
)

// logged writes a line for each request that a handler has seen. (What net/http refuses on its own is in none.)
func logged(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, began := &answer{ResponseWriter: w, status: http.StatusOK}, time.Now()
		// Also for a handler that panics to cut its answer off.
		defer func() {
			slog.Info("access", "peer", r.RemoteAddr, "method", r.Method, "path", r.URL.Path,
				"status", a.status, "bytes", a.bytes, "micros", time.Since(began).Microseconds())
		}()
		h.ServeHTTP(a, r)
	})
}

// answer counts what is written.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// ReadFrom is for files, which are sent by the kernel.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(a.ResponseWriter, r)
	a.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

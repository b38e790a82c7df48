package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"
)

const text = "text/plain; charset=utf-8"

// routes is all of it; everything else is a file.
func routes(root *os.Root) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plaintext", plaintext)
	mux.HandleFunc("GET /lines", lines)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("POST /size", size)
	mux.Handle("/", files{root})
	// Or else the mux would look for files of these names.
	for path, allowed := range map[string]string{
		"/plaintext": "GET, HEAD", "/lines": "GET, HEAD", "/echo": "POST", "/size": "POST",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { notAllowed(w, allowed) })
	}
	return mux
}

func notAllowed(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	http.Error(w, "not in this way", http.StatusMethodNotAllowed)
}

// plaintext is the least that there is: for measurements.
func plaintext(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", text)
	io.WriteString(w, "Hello, World!")
}

// lines answers /lines?n=10&ms=100: so many lines, with so much time between them, each sent as it comes. Without n, until
// the server is asked to end; with it, without further pauses then.
func lines(w http.ResponseWriter, r *http.Request) {
	query, n, ms := r.URL.Query(), uint64(math.MaxUint64), uint64(100)
	for name, number := range map[string]*uint64{"n": &n, "ms": &ms} {
		if !query.Has(name) {
			continue
		}
		var err error
		if *number, err = strconv.ParseUint(query.Get(name), 10, 64); err != nil {
			refuse(w, http.StatusBadRequest, "n and ms are numbers")
			return
		}
	}
	w.Header().Set("Content-Type", text)
	stream := http.NewResponseController(w)
	for i := uint64(1); i <= n; i++ {
		fmt.Fprintf(w, "line %d\n", i)
		if stream.Flush() != nil || i == n {
			return
		}
		select {
		case <-r.Context().Done():
			if !query.Has("n") {
				fmt.Fprintln(w, "the server ends")
				return
			}
		case <-time.After(time.Duration(ms) * time.Millisecond):
		}
	}
}

// echo sends back what comes, as it comes.
func echo(w http.ResponseWriter, r *http.Request) {
	buf := make([]byte, 8<<10)
	// Whatever is wrong with the beginning can still be told.
	n, err := r.Body.Read(buf)
	if n == 0 && err != nil && err != io.EOF {
		refuseBody(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	stream := http.NewResponseController(w)
	stream.EnableFullDuplex()
	for {
		if _, err := w.Write(buf[:n]); err != nil || stream.Flush() != nil {
			return
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		n, err = r.Body.Read(buf)
	}
}

// size says how many bytes came.
func size(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		refuseBody(w, err)
		return
	}
	w.Header().Set("Content-Type", text)
	fmt.Fprintf(w, "%d\n", n)
}

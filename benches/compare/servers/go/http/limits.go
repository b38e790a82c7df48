package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// limits is what a client may ask of the server. net/http keeps those of the head and of the silence between requests; those
// of bodies are kept by limited, that of writing by listener and conn. (It also waits on its own for half a second for a
// client that may be sending still when it is refused, which is what examples/http calls linger.)
type limits struct {
	head                                           int
	body                                           int64
	headTime, bodyTime, idleTime, writeTime, grace time.Duration
}

// limited bounds the bodies, in bytes and in time.
func (l limits) limited(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > l.body {
			refuse(w, http.StatusRequestEntityTooLarge, "the body is too long")
			return
		}
		if r.ContentLength != 0 {
			r.Body = http.MaxBytesReader(w, r.Body, l.body)
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(l.bodyTime))
		}
		h.ServeHTTP(w, r)
	})
}

// refuse answers an error; nobody knows then where the next request begins.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Connection", "close")
	http.Error(w, why, status)
}

func refuseBody(w http.ResponseWriter, err error) {
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		refuse(w, http.StatusRequestEntityTooLarge, "the body is too long")
	case errors.Is(err, os.ErrDeadlineExceeded):
		refuse(w, http.StatusRequestTimeout, "the body takes too long")
	default:
		refuse(w, http.StatusBadRequest, "the body has no end")
	}
}

// filePiece is how much of a file is sent under one deadline.
const filePiece = 1 << 20

type listener struct {
	*net.TCPListener
	writeTime time.Duration
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return conn{c, l.writeTime}, nil
}

// conn gives each write a time of its own. (http.Server's WriteTimeout is for all of an answer, streamed ones included.)
type conn struct {
	*net.TCPConn
	writeTime time.Duration
}

func (c conn) Write(b []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.writeTime))
	return c.TCPConn.Write(b)
}

// ReadFrom sends a file, by sendfile.
func (c conn) ReadFrom(r io.Reader) (n int64, err error) {
	whole, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	for whole.N > 0 && err == nil {
		piece := &io.LimitedReader{R: whole.R, N: min(whole.N, filePiece)}
		c.SetWriteDeadline(time.Now().Add(c.writeTime))
		var sent int64
		if sent, err = c.TCPConn.ReadFrom(piece); sent == 0 {
			break // it was cut meanwhile
		}
		n, whole.N = n+sent, whole.N-sent
	}
	return n, err
}

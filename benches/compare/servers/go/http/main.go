// The server of examples/http on net/http: the same routes, options, limits and end.
//
//	app.go     the handlers          files.go   the files of a directory
//	limits.go  bytes and time        log.go     the access log
//	tls.go     the certificate       main.go    options, and the server's life
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

type options struct {
	addr, root, tls, log string
	procs                int
	limits               limits
}

func parse() (o options) {
	ms := func(name string, def int64) func() time.Duration {
		n := flag.Int64(name, def, "milliseconds")
		return func() time.Duration { return time.Duration(*n) * time.Millisecond }
	}
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where to listen")
	flag.StringVar(&o.root, "root", ".", "whose files are served")
	flag.StringVar(&o.tls, "tls", "", "HTTPS; the certificate to trust is written to this file")
	flag.StringVar(&o.log, "log", "on", "the access log, on stderr: on or off")
	flag.IntVar(&o.procs, "procs", 0, "GOMAXPROCS")
	flag.IntVar(&o.limits.head, "head", 8<<10, "bytes of a head")
	flag.Int64Var(&o.limits.body, "body", 1<<20, "bytes of a body")
	head, body, idle := ms("head-time", 10_000), ms("body-time", 30_000), ms("idle-time", 60_000)
	write, grace := ms("write-time", 30_000), ms("grace", 10_000)
	flag.Parse()
	l := &o.limits
	l.headTime, l.bodyTime, l.idleTime, l.writeTime, l.grace = head(), body(), idle(), write(), grace()
	return o
}

// counts is what a server has done.
type counts struct{ connections, open, requests atomic.Int64 }

func (c *counts) state(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.connections.Add(1)
		c.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.open.Add(-1)
	}
}

func (c *counts) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		h.ServeHTTP(w, r)
	})
}

func serve(o options) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	// It is done when the server is asked to end, and every request's context with it.
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	root, err := os.OpenRoot(o.root)
	if err != nil {
		return err
	}
	var done counts
	handler := o.limits.limited(routes(root))
	if o.log == "on" {
		handler = logged(handler)
	}
	server := &http.Server{
		Handler:           done.counted(handler),
		MaxHeaderBytes:    o.limits.head,
		ReadHeaderTimeout: o.limits.headTime,
		IdleTimeout:       o.limits.idleTime,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         done.state,
	}
	if o.log == "off" {
		server.ErrorLog = log.New(io.Discard, "", 0)
	}
	tcp, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	l := listener{tcp.(*net.TCPListener), o.limits.writeTime}
	scheme, serve := "http", server.Serve
	if o.tls != "" {
		certificate, authority, err := identity()
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.tls, authority, 0o666); err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
		server.Protocols = new(http.Protocols) // not HTTP/2
		server.Protocols.SetHTTP1(true)
		scheme, serve = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}

	failed := make(chan error, 1)
	go func() { failed <- serve(l) }()
	fmt.Printf("listening on %s://%s/\n", scheme, l.Addr())
	select {
	case err := <-failed:
		return err
	case s := <-signals:
		fmt.Printf("%v: no new connections; requests finish (again to cut them off)\n", s)
	}
	stop()
	grace, hurry := context.WithTimeout(context.Background(), o.limits.grace)
	go func() {
		<-signals
		hurry()
	}()
	var cutOff int64
	if server.Shutdown(grace) != nil {
		cutOff = done.open.Load()
		server.Close()
	}
	fmt.Printf("served %d connections, %d requests; %d cut off\n",
		done.connections.Load(), done.requests.Load(), cutOff)
	return nil
}

func main() {
	o := parse()
	if o.procs > 0 {
		runtime.GOMAXPROCS(o.procs)
	}
	if err := serve(o); err != nil {
		fmt.Fprintln(os.Stderr, "http:", err)
		os.Exit(1)
	}
}

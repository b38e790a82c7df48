// The server of examples/chat in Go, over gorilla/websocket and bbolt: the same rooms, messages, limits and end. (The page
// that shows them is not here.)
//
//	main.go    options, signals, end          door.go     a request, which may be an upgrade
//	room.go    a room's goroutine, and which there are
//	client.go  a connection's two goroutines  history.go  what was said, on disk
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

type config struct {
	addr, history          string
	historyLength          int
	connections, rooms     int
	message                int64
	mailbox, rate, procs   int
	ping, handshake, close time.Duration
}

func parse() (c config) {
	flag.StringVar(&c.addr, "addr", "127.0.0.1:8090", "where to listen")
	flag.StringVar(&c.history, "history", "chat.bolt", "where what was said is kept")
	flag.IntVar(&c.historyLength, "history-length", 50, "how many messages of a room are kept, and sent to who comes")
	flag.IntVar(&c.connections, "connections", 10_000, "how many there may be")
	flag.IntVar(&c.rooms, "rooms", 1_000, "how many there may be at a time")
	flag.Int64Var(&c.message, "message", 4096, "the longest message, in bytes")
	flag.IntVar(&c.mailbox, "mailbox", 256, "so many messages may wait for a client that does not read")
	flag.IntVar(&c.rate, "rate", 20, "frames a second from one client, twice as many at once; 0: any number")
	flag.IntVar(&c.procs, "procs", 0, "GOMAXPROCS")
	ping := flag.Int("ping", 20_000, "milliseconds between pings")
	handshake := flag.Int("handshake", 5_000, "milliseconds for a request")
	end := flag.Int("close", 3_000, "milliseconds for the end of a connection")
	flag.Parse()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	c.ping, c.handshake, c.close = ms(*ping), ms(*handshake), ms(*end)
	return c
}

// server is what all goroutines share.
type server struct {
	config
	ctx     context.Context // done when the server ends
	history *history
	tasks   sync.WaitGroup // connections and rooms
	open    atomic.Int64
	ups     websocket.Upgrader

	mu    sync.Mutex
	rooms map[string]*room // under mu, with each room's inside
}

func serve(c config) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	history, err := openHistory(c.history, c.historyLength)
	if err != nil {
		return fmt.Errorf("%s: %w", c.history, err)
	}
	s := &server{config: c, ctx: ctx, history: history, rooms: map[string]*room{}}
	// PreparedMessages need no buffer for writing; a pool has it for the rest.
	s.ups = websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", s.door)
	doors := &http.Server{Handler: mux, ReadHeaderTimeout: c.handshake, IdleTimeout: c.handshake, MaxHeaderBytes: 8 << 10}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- doors.Serve(listener) }()
	fmt.Printf("chat: ready on http://%s/\n", listener.Addr())
	select {
	case err := <-failed:
		return err
	case signal := <-signals:
		log.Printf("%v: stopping", signal)
	}
	grace, cancel := context.WithTimeout(ctx, c.close)
	defer cancel()
	if doors.Shutdown(grace) != nil {
		doors.Close()
	}
	stop()
	s.tasks.Wait()
	return history.close()
}

func main() {
	c := parse()
	if c.procs > 0 {
		runtime.GOMAXPROCS(c.procs)
	}
	if err := serve(c); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// silence: who has said nothing for so many times of --ping is gone.
const silence = 3

// closing is the last that a client hears.
type closing struct {
	code   int
	reason string
}

// client is a connection: a goroutine that reads, and one that writes what is in the mailbox.
type client struct {
	room    *room
	name    string
	ws      *websocket.Conn
	mailbox chan *websocket.PreparedMessage
	bye     chan *closing // one at the most; nil: end without a word
	written chan struct{} // closed: the writer has ended

	mu    sync.Mutex
	ended bool // under mu: the deadline is the last one
}

func newClient(r *room, name string, ws *websocket.Conn) *client {
	// What was said before comes on top.
	mailbox := make(chan *websocket.PreparedMessage, r.s.mailbox+r.s.historyLength)
	return &client{room: r, name: name, ws: ws, mailbox: mailbox, bye: make(chan *closing, 1), written: make(chan struct{})}
}

// push never waits: a client for whom too much waits is dropped.
func (c *client) push(frame *websocket.PreparedMessage) {
	select {
	case c.mailbox <- frame:
	default:
		c.end(&closing{websocket.ClosePolicyViolation, "too slow: too much waits for this client"})
	}
}

// end has the writer say why, and end; from here on there is a deadline.
func (c *client) end(why *closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended = true
		c.ws.UnderlyingConn().SetDeadline(time.Now().Add(c.room.s.close))
		c.bye <- why
	}
}

// hear moves the deadline on: the client has said something.
func (c *client) hear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ws.SetReadDeadline(time.Now().Add(silence * c.room.s.ping))
	}
}

func (c *client) write() {
	defer close(c.written)
	ping := time.NewTicker(c.room.s.ping)
	defer ping.Stop()
	for {
		var err error
		until := func() time.Time { return time.Now().Add(c.room.s.close) }
		select {
		case why := <-c.bye:
			if why != nil {
				c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(why.code, why.reason), until())
			}
			return
		case frame := <-c.mailbox:
			c.ws.SetWriteDeadline(until())
			err = c.ws.WritePreparedMessage(frame)
		case <-ping.C:
			err = c.ws.WriteControl(websocket.PingMessage, nil, until())
		}
		if err != nil {
			c.ws.Close() // which ends the reader
			return
		}
	}
}

func (c *client) read() {
	defer c.ws.Close()
	c.room.said <- said{what: join, c: c}
	why := c.listen()
	c.room.said <- said{what: leave, c: c}
	c.end(why)
	<-c.written
	// Closing with bytes unread would be a reset, which takes the close away.
	io.Copy(io.Discard, c.ws.UnderlyingConn())
}

// listen reads until nothing more is to come, and gives what the client is to be told then.
func (c *client) listen() *closing {
	s := c.room.s
	c.ws.SetReadLimit(s.message)
	c.ws.SetPongHandler(func(string) error { c.hear(); return nil })
	c.hear()
	rate := newRate(s.rate)
	for {
		kind, words, err := c.ws.ReadMessage()
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			return &closing{websocket.ClosePolicyViolation, "silent: no answer to pings"}
		case err != nil: // of closes, of long messages and of violations gorilla/websocket has told the client
			return nil
		case !rate.allows():
			return &closing{websocket.ClosePolicyViolation, "too many messages"}
		case kind != websocket.TextMessage:
			return &closing{websocket.CloseUnsupportedData, "text only"}
		case !utf8.Valid(words):
			return &closing{websocket.CloseInvalidFramePayloadData, "a text must be UTF-8"}
		}
		c.hear()
		if len(words) > 0 {
			c.room.said <- said{what: text, c: c, text: string(words)}
		}
	}
}

// rate is how many frames a client may send: due is when it would have had to send the next one, had it sent them evenly,
// and it may be two seconds ahead of that.
type rate struct {
	due  time.Time
	each time.Duration
}

func newRate(n int) rate {
	if n == 0 {
		return rate{}
	}
	return rate{time.Now(), time.Second / time.Duration(n)}
}

func (r *rate) allows() bool {
	now := time.Now()
	if r.due.Before(now) {
		r.due = now
	}
	r.due = r.due.Add(r.each)
	return r.due.Sub(now) <= 2*time.Second
}

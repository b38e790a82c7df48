package main

import (
	"encoding/json"
	"log"
	"time"

	"github.com/gorilla/websocket"
)

// crowd: among more than so many nobody is told who comes and goes.
const crowd = 100

const (
	join = iota
	text
	leave
)

// said is what a room hears of its clients.
type said struct {
	what int
	c    *client
	text string
}

// room is a goroutine that owns its members and what they last said.
type room struct {
	s       *server
	name    string
	said    chan said
	inside  int // under s.mu
	members map[*client]bool
	recent  []message
	next    uint64
	closed  *closing
}

type message struct {
	id    uint64
	frame *websocket.PreparedMessage
}

// sit gives a seat in the room of this name, which begins now if need be; nil where there are too many rooms. Who has one
// must say leave, once.
func (s *server) sit(name string) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[name]
	if r == nil {
		if len(s.rooms) >= s.config.rooms {
			return nil
		}
		r = &room{s: s, name: name, said: make(chan said, 64), members: map[*client]bool{}}
		s.rooms[name] = r
		s.tasks.Go(r.run)
	}
	r.inside++
	return r
}

func (r *room) run() {
	r.remember()
	done := r.s.ctx.Done()
	for {
		select {
		case what := <-r.said:
			if r.hear(what) {
				return
			}
		case <-done:
			done = nil // once
			// What has been said is said.
			for len(r.said) > 0 {
				if r.hear(<-r.said) {
					return
				}
			}
			r.close(websocket.CloseGoingAway, "the server ends")
		}
	}
}

// remember begins with what the room has said when it last was.
func (r *room) remember() {
	kept, err := r.s.history.load(r.name)
	if err != nil {
		log.Printf("%q: the history cannot be read: %v", r.name, err)
		r.close(websocket.CloseInternalServerErr, "the history of this room cannot be read")
		return
	}
	r.next = 1
	for _, k := range kept {
		r.recent = append(r.recent, message{k.id, frame(k.json)})
		r.next = k.id + 1
	}
}

// hear is true when nobody is inside any more, and the room is off the list.
func (r *room) hear(what said) bool {
	switch what.what {
	case join:
		r.join(what.c)
	case text:
		r.text(what.c, what.text)
	case leave:
		if r.members[what.c] {
			delete(r.members, what.c)
			r.tellOf("left", what.c.name, len(r.members))
		}
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		if r.inside--; r.inside == 0 {
			delete(r.s.rooms, r.name)
			return true
		}
	}
	return false
}

func (r *room) join(c *client) {
	if r.closed != nil {
		c.end(r.closed)
		return
	}
	members := len(r.members) + 1
	r.tellOf("joined", c.name, members)
	for _, m := range r.recent {
		c.push(m.frame)
	}
	c.push(encoded(map[string]any{"you": c.name, "room": r.name, "members": members}))
	r.members[c] = true
}

// tellOf tells the others who has come or gone.
func (r *room) tellOf(what, name string, members int) {
	if members <= crowd && r.closed == nil {
		r.tell(encoded(map[string]any{what: name, "members": members}))
	}
}

func (r *room) text(c *client, words string) {
	if r.closed != nil || !r.members[c] {
		return
	}
	id := r.next
	r.next++
	bytes, _ := json.Marshal(struct {
		Id   uint64 `json:"id"`
		At   int64  `json:"at"`
		From string `json:"from"`
		Text string `json:"text"`
	}{id, time.Now().UnixMilli(), c.name, words})
	m := message{id, frame(bytes)}
	r.tell(m.frame)
	r.recent = append(r.recent, m)
	if len(r.recent) > r.s.historyLength {
		r.recent = r.recent[1:]
	}
	oldest := r.next
	if len(r.recent) > 0 {
		oldest = r.recent[0].id
	}
	r.s.history.keep(kept{r.name, id, bytes, oldest})
}

func (r *room) tell(frame *websocket.PreparedMessage) {
	for c := range r.members {
		c.push(frame)
	}
}

// close sends everybody away, and who still comes.
func (r *room) close(code int, reason string) {
	r.closed = &closing{code, reason}
	for c := range r.members {
		c.end(r.closed)
	}
}

// frame is encoded once for all.
func frame(json []byte) *websocket.PreparedMessage {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, json)
	if err != nil {
		panic(err) // of no bytes that are given
	}
	return m
}

func encoded(what map[string]any) *websocket.PreparedMessage {
	bytes, _ := json.Marshal(what)
	return frame(bytes)
}

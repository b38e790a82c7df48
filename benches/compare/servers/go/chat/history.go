package main

import (
	"encoding/binary"
	"fmt"
	"log"

	"go.etcd.io/bbolt"
)

// batch is how many messages go into one commit at the most.
const batch = 1024

// kept is a message on disk.
type kept struct {
	room   string
	id     uint64
	json   []byte
	oldest uint64 // what is older is to be forgotten
}

type loaded struct {
	messages []kept
	err      error
}

type load struct {
	room   string
	answer chan loaded
}

// history is what was said, on disk: one goroutine, which commits for all rooms whatever has come during the commit before.
type history struct {
	db       *bbolt.DB
	length   int
	requests chan any // kept or load
	ended    chan error
}

func openHistory(path string, length int) (*history, error) {
	db, err := bbolt.Open(path, 0o666, nil)
	if err != nil {
		return nil, err
	}
	h := &history{db, length, make(chan any, batch), make(chan error, 1)}
	go h.run()
	return h, nil
}

func (h *history) keep(k kept) { h.requests <- k }

func (h *history) load(room string) ([]kept, error) {
	answer := make(chan loaded, 1)
	h.requests <- load{room, answer}
	l := <-answer
	return l.messages, l.err
}

// close writes what waits, for the last time.
func (h *history) close() error {
	close(h.requests)
	return <-h.ended
}

func (h *history) run() {
	var waiting []kept
	for request := range h.requests {
		var loads []load
		for n := 0; ; n++ {
			switch r := request.(type) {
			case kept:
				waiting = append(waiting, r)
			case load:
				loads = append(loads, r)
			}
			if n == batch || len(h.requests) == 0 {
				break
			}
			request = <-h.requests
		}
		if len(waiting) > 0 {
			if err := h.write(waiting); err != nil {
				log.Printf("the history cannot be written: %v; messages are delivered all the same", err)
				waiting = waiting[max(0, len(waiting)-8*batch):]
			} else {
				waiting = nil
			}
		}
		for _, l := range loads {
			messages, err := h.read(l.room)
			l.answer <- loaded{messages, err}
		}
	}
	err := h.db.Close()
	if len(waiting) > 0 {
		err = fmt.Errorf("%d messages are lost", len(waiting))
	}
	h.ended <- err
}

// write has all of it on disk, or nothing: a bucket for each room.
func (h *history) write(messages []kept) error {
	return h.db.Update(func(tx *bbolt.Tx) error {
		for _, k := range messages {
			b, err := tx.CreateBucketIfNotExists([]byte(k.room))
			if err != nil {
				return err
			}
			if err := b.Put(binary.BigEndian.AppendUint64(nil, k.id), k.json); err != nil {
				return err
			}
			c := b.Cursor()
			for id, _ := c.First(); id != nil && binary.BigEndian.Uint64(id) < k.oldest; id, _ = c.First() {
				if err := c.Delete(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// read gives the last messages of a room, in order.
func (h *history) read(room string) (messages []kept, err error) {
	err = h.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(room))
		if b == nil {
			return nil
		}
		return b.ForEach(func(id, json []byte) error {
			messages = append(messages, kept{room, binary.BigEndian.Uint64(id), append([]byte(nil), json...), 0})
			return nil
		})
	})
	return messages[max(0, len(messages)-h.length):], err
}

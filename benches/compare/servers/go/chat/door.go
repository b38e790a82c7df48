package main

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// door answers GET /ws?room=NAME&name=WHO. net/http has read the request, and answers what is none; the upgrader answers
// what is no upgrade, and pages from elsewhere.
func (s *server) door(w http.ResponseWriter, r *http.Request) {
	if s.open.Add(1) > int64(s.connections) {
		s.open.Add(-1)
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	left := func() { s.open.Add(-1) }
	query := r.URL.Query()
	room, name := query.Get("room"), query.Get("name")
	for _, n := range []struct {
		what, value string
		most        int
	}{{"room", room, 64}, {"name", name, 32}} {
		if why := badName(n.value, n.most); why != "" {
			left()
			http.Error(w, "the "+n.what+why, http.StatusBadRequest)
			return
		}
	}
	if !websocket.IsWebSocketUpgrade(r) { // before there is a room for it
		left()
		http.Error(w, "no upgrade", http.StatusBadRequest)
		return
	}
	in := s.sit(room)
	if in == nil {
		left()
		http.Error(w, "too many rooms", http.StatusServiceUnavailable)
		return
	}
	ws, err := s.ups.Upgrade(w, r, nil)
	if err != nil {
		in.said <- said{what: leave}
		left()
		return
	}
	c := newClient(in, name, ws)
	s.tasks.Go(c.write)
	// Goroutines of their own, so that what net/http had for the request is not kept as long as they live.
	s.tasks.Go(func() {
		defer left()
		c.read()
	})
}

func badName(name string, most int) string {
	bad := func(c rune) bool { return unicode.IsControl(c) || c == utf8.RuneError }
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return " is missing"
	case n > most:
		return " is too long"
	case strings.ContainsFunc(name, bad) || strings.TrimSpace(name) == "":
		return " is no name"
	}
	return ""
}

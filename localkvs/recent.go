package localkvs

import (
	"sync"
	"time"
)

const maxRecent = 200 // messages of the whole service

// Record is one message that passed through, for the page and for GET /localkvs/state.
type Record struct {
	Time    time.Time `json:"time"`
	Channel string    `json:"channel"`
	From    string    `json:"from"`
	To      string    `json:"to,omitempty"`
	Type    string    `json:"type"`
	Payload string    `json:"payload,omitempty"` // as sent, in base64
	Refused string    `json:"refused,omitempty"`
}

// recent holds the last messages.
type recent struct {
	mu   sync.Mutex // guards what is below
	ring [maxRecent]Record
	n    int // number ever added
}

func (r *recent) add(rec Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.n%maxRecent] = rec
	r.n++
}

// last returns the messages, newest first.
func (r *recent) last() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Record, 0, min(r.n, maxRecent))
	for i := r.n - 1; i >= 0 && i >= r.n-maxRecent; i-- {
		out = append(out, r.ring[i%maxRecent])
	}
	return out
}

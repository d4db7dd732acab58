package signaling

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrQueueFull says that the send queue is full.
var ErrQueueFull = errors.New("send: too many messages wait for the signaling connection")

const (
	queueLen = 1024 // messages
	// Messages to one recipient: an answer and the candidates of a host with many addresses.
	queuePerPeer = 64
	queueLife    = 30 * time.Second // after that the other side has given up
)

// queued is an outgoing message.
type queued struct {
	Message
	frame []byte
	since time.Time
}

// queue holds messages between Send and the WebSocket, across reconnects. Messages to one recipient stay in order.
// Messages to different recipients may pass each other as the pace allows.
type queue struct {
	wake chan struct{} // one slot; signalled by put

	mu      sync.Mutex
	items   []queued // guarded by mu, oldest first
	expired uint64   // guarded by mu
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put appends a message, or returns ErrQueueFull. It drops no older message, since the newer ones depend on them.
func (q *queue) put(m queued) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(m.since)
	same := 0
	for _, o := range q.items {
		if o.ClientID == m.ClientID {
			same++
		}
	}
	if len(q.items) >= queueLen || same >= queuePerPeer {
		return ErrQueueFull
	}
	q.items = append(q.items, m)
	q.poke()
	return nil
}

// next removes the first message that the pace allows. If there is none, it returns how long until there may be one; 0
// means until the next put.
func (q *queue) next(now time.Time, p *pace) (m queued, ok bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(now)
	held := map[string]bool{} // recipients with a message that has to wait
	for i, o := range q.items {
		if held[o.ClientID] {
			continue
		}
		w := p.wait(o.Type, now)
		if w == 0 {
			q.items = slices.Delete(q.items, i, i+1)
			return o, true, 0
		}
		held[o.ClientID] = true
		if wait == 0 || w < wait {
			wait = w
		}
	}
	return queued{}, false, wait
}

// putBack returns a message that could not be written to its place in the queue.
func (q *queue) putBack(m queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = slices.Insert(q.items, 0, m)
}

// takeAll empties the queue, and returns what was in it and has not waited too long.
func (q *queue) takeAll(now time.Time) []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(now)
	all := q.items
	q.items = nil
	return all
}

func (q *queue) stats(now time.Time) (waiting int, expired uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(now)
	return len(q.items), q.expired
}

// expire drops messages that have waited too long. The caller holds mu.
func (q *queue) expire(now time.Time) {
	before := len(q.items)
	q.items = slices.DeleteFunc(q.items, func(m queued) bool { return now.Sub(m.since) > queueLife })
	q.expired += uint64(before - len(q.items))
}

// poke wakes the writer: there is something to write, or a session to write to.
func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

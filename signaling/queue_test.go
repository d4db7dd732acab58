package signaling

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestQueueIsBounded(t *testing.T) {
	now := time.Now()
	q := newQueue()
	put := func(to string) error {
		return q.put(queued{Message: Message{Type: ICECandidate, ClientID: to}, since: now})
	}
	for range queuePerPeer {
		if err := put("v"); err != nil {
			t.Fatal(err)
		}
	}
	if err := put("v"); !errors.Is(err, ErrQueueFull) {
		t.Errorf("err = %v, want ErrQueueFull", err)
	}
	for i := range queueLen - queuePerPeer {
		if err := put(fmt.Sprint("w", i)); err != nil {
			t.Fatalf("%d: %v: one recipient fills the queue of the others", i, err)
		}
	}
	if err := put("x"); !errors.Is(err, ErrQueueFull) {
		t.Errorf("err = %v, want ErrQueueFull", err)
	}
	now = now.Add(queueLife + 1)
	if err := put("v"); err != nil {
		t.Errorf("after the old ones have expired: %v", err)
	}
	if n, expired := q.stats(now); n != 1 || expired != queueLen {
		t.Errorf("%d wait, %d expired; want 1, %d", n, expired, queueLen)
	}
}

func TestCandidateNeverOvertakesItsOffer(t *testing.T) {
	now := time.Now()
	q, p := newQueue(), &pace{}
	for i := range 7 {
		id := fmt.Sprint("v", i)
		_ = q.put(queued{Message: Message{Type: SDPOffer, ClientID: id}, since: now})
		_ = q.put(queued{Message: Message{Type: ICECandidate, ClientID: id}, since: now})
	}
	_ = q.put(queued{Message: Message{Type: ICECandidate, ClientID: "free"}, since: now})
	got := map[string][]MessageType{}
	take := func() (n int, wait time.Duration) {
		for {
			m, ok, wait := q.next(now, p)
			if !ok {
				return n, wait
			}
			p.sent(m.Type, now)
			got[m.ClientID] = append(got[m.ClientID], m.Type)
			n++
		}
	}
	// Five offers, their candidates, and the candidate that need not wait for an offer.
	if n, wait := take(); n != 11 || wait != second {
		t.Errorf("%d went, %v to wait; want 11, %v", n, wait, second)
	}
	if len(got["v5"]) != 0 || len(got["free"]) != 1 {
		t.Errorf("v5 got %v, free got %v", got["v5"], got["free"])
	}
	now = now.Add(second)
	if n, _ := take(); n != 4 {
		t.Errorf("%d went, want 4", n)
	}
	for id, types := range got {
		if id != "free" && (len(types) != 2 || types[0] != SDPOffer) {
			t.Errorf("%s got %v", id, types)
		}
	}
}

func TestPutBackKeepsTheOrder(t *testing.T) {
	now := time.Now()
	q, p := newQueue(), &pace{}
	for _, id := range []string{"1", "2"} {
		_ = q.put(queued{Message: Message{Type: ICECandidate, ClientID: "v", CorrelationID: id}, since: now})
	}
	m, _, _ := q.next(now, p)
	q.putBack(m)
	if m, _, _ := q.next(now, p); m.CorrelationID != "1" {
		t.Errorf("next = %s, want 1", m.CorrelationID)
	}
}

func TestSentLogForgetsTheOldest(t *testing.T) {
	var l sentLog
	for i := range 300 {
		l.add(Message{CorrelationID: fmt.Sprint(i)})
	}
	if _, ok := l.take("0"); ok {
		t.Error("the oldest is remembered")
	}
	if _, ok := l.take("299"); !ok {
		t.Error("the newest is forgotten")
	}
	if len(l.byID) > len(l.ids) {
		t.Errorf("%d remembered", len(l.byID))
	}
}

func TestOverlap(t *testing.T) {
	now := time.Now()
	f := frame{Type: SDPOffer, Sender: "v", Payload: []byte("{}")}
	for _, tt := range []struct {
		name    string
		planned bool
		gen     int
		after   time.Duration
		want    bool
	}{
		{"over both sessions of a replacement", true, 2, time.Second, true},
		{"twice over one session", true, 1, time.Second, false},
		{"after a lost session: the answer may have been lost with it", false, 2, time.Second, false},
		{"much later", true, 2, time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o overlap
			o.opened(false)
			if o.repeated(f, 1, now) {
				t.Error("the first is a repetition")
			}
			o.opened(tt.planned)
			if got := o.repeated(f, tt.gen, now.Add(tt.after)); got != tt.want {
				t.Errorf("repeated = %v, want %v", got, tt.want)
			}
		})
	}
	var o overlap
	for i := range 10 * maxSeen {
		o.repeated(frame{Sender: fmt.Sprint(i)}, 1, now)
	}
	if len(o.seen) > maxSeen {
		t.Errorf("%d remembered", len(o.seen))
	}
}

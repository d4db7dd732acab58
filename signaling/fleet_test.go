package signaling

import (
	"container/heap"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A model of 10,000 agents and of the service's quotas, driven by the agent's own retrier and life. It does not use the
// wall clock: the model's time is a number.

const (
	fleetSize = 10_000
	// Connects a second for the account. The service publishes none; the reference model assumed this number.
	connectLimit = 500
)

// fleet is one run of the model.
type fleet struct {
	rnd      *rand.Rand
	agents   []fleetAgent
	events   fleetHeap
	now      time.Duration
	downTill time.Duration // requests before this get no answer
	perSec   map[time.Duration]int
	requests int
	refused  int // throttled
	wait     []time.Duration
	rotate   bool
	hearing  time.Duration // of the agents, whom nobody watches; 0: they never ask
	denied   bool          // they may not connect as viewers
	asked    int
}

type fleetAgent struct {
	retry     retrier
	connected bool
	since     time.Duration
	renewed   int // connections: events of earlier ones are void
}

type fleetEvent struct {
	at    time.Duration
	agent int
	of    int  // the connection that it is about; void when there is another. 0: about none
	asks  bool // a question; else a connect
}

type fleetHeap []fleetEvent

func (h fleetHeap) Len() int           { return len(h) }
func (h fleetHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h fleetHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *fleetHeap) Push(x any)        { *h = append(*h, x.(fleetEvent)) }
func (h *fleetHeap) Pop() any          { x := (*h)[len(*h)-1]; *h = (*h)[:len(*h)-1]; return x }

// newFleet returns agents that have been connected for a long time and are cut off at time 0.
func newFleet(spread time.Duration, seed uint64) *fleet {
	f := &fleet{rnd: rand.New(rand.NewPCG(seed, 0)), perSec: map[time.Duration]int{}}
	for i := range fleetSize {
		f.agents = append(f.agents, fleetAgent{retry: retrier{spread: spread, rand: f.rnd.Float64}})
		f.fail(i, &lostError{err: errors.New("reset"), age: time.Hour, at: time.Time{}})
	}
	return f
}

func (f *fleet) fail(agent int, err error) {
	wait, _ := f.agents[agent].retry.retry(err)
	heap.Push(&f.events, fleetEvent{at: f.now + wait, agent: agent})
}

// run processes all events until end.
func (f *fleet) run(end time.Duration) {
	for f.events.Len() > 0 && f.events[0].at < end {
		e := heap.Pop(&f.events).(fleetEvent)
		f.now = e.at
		switch {
		case e.of != 0 && e.of != f.agents[e.agent].renewed:
		case e.asks && !f.denied:
			f.ask(e.agent)
		default:
			f.connect(e.agent)
		}
	}
}

func (f *fleet) connect(agent int) {
	a := &f.agents[agent]
	f.requests++
	second := f.now.Truncate(time.Second)
	f.perSec[second]++
	switch {
	case f.now < f.downTill: // no answer within the limit of a call
		f.now += callTimeout
		f.fail(agent, errors.New("timeout"))
		return
	case f.perSec[second] > connectLimit:
		f.refused++
		f.fail(agent, &APIError{Op: "ConnectAsMaster", Status: 400, Code: "ClientLimitExceededException"})
		return
	}
	if !a.connected {
		f.wait = append(f.wait, f.now-f.downTill)
	}
	a.connected, a.since = true, f.now
	a.renewed++
	f.listen(agent)
	if f.rotate {
		heap.Push(&f.events, fleetEvent{at: f.now + life(f.rnd.Float64()), agent: agent, of: a.renewed})
	}
}

// listen schedules an agent's next question, or the renewal of its connection.
func (f *fleet) listen(agent int) {
	a := &f.agents[agent]
	if f.hearing == 0 {
		return
	}
	at := f.now + silence(f.hearing, a.retry.spread, !f.denied, f.rnd.Float64())
	heap.Push(&f.events, fleetEvent{at, agent, a.renewed, true})
}

// ask is a question: one upgrade as a viewer, which the account's limit counts like any. A refused one says nothing.
func (f *fleet) ask(agent int) {
	f.asked++
	second := f.now.Truncate(time.Second)
	f.perSec[second]++
	if f.now >= f.downTill && f.perSec[second] > connectLimit {
		f.refused++
	}
	f.listen(agent)
}

func (f *fleet) percentile(p float64) time.Duration {
	slices.Sort(f.wait)
	return f.wait[int(p*float64(len(f.wait)-1))]
}

// peak returns the most requests in a second, from a time on.
func (f *fleet) peak(from time.Duration) (most int) {
	for at, n := range f.perSec {
		if at >= from {
			most = max(most, n)
		}
	}
	return most
}

func TestFleetCutAtOnce(t *testing.T) {
	f := newFleet(30*time.Second, 1)
	f.run(10 * time.Minute)
	each := float64(f.requests) / fleetSize
	t.Logf("10,000 cut at once, spread 30 s: p50 %v, p99 %v, peak %d/s, %.2f requests an agent, %d throttled",
		f.percentile(0.5).Round(time.Second), f.percentile(0.99).Round(time.Second), f.peak(0), each, f.refused)
	if len(f.wait) != fleetSize || each > 1.1 || f.refused > 0 || f.percentile(0.99) > 35*time.Second {
		t.Errorf("%d connected, %.2f requests each, %d throttled, p99 %v", len(f.wait), each, f.refused,
			f.percentile(0.99))
	}
}

// The default spread is for a few cameras. A fleet with it still recovers, only more slowly.
func TestFleetWithTheDefaultSpread(t *testing.T) {
	f := newFleet(2*time.Second, 2)
	f.run(time.Hour)
	t.Logf("10,000 cut at once, spread 2 s: p50 %v, p99 %v, peak %d/s, %.2f requests an agent, %d throttled",
		f.percentile(0.5).Round(time.Second), f.percentile(0.99).Round(time.Second), f.peak(0),
		float64(f.requests)/fleetSize, f.refused)
	if len(f.wait) != fleetSize || f.percentile(0.99) > 10*time.Minute {
		t.Errorf("%d connected, p99 %v", len(f.wait), f.percentile(0.99))
	}
}

func TestFleetAfterAnOutage(t *testing.T) {
	f := newFleet(30*time.Second, 3)
	f.downTill = 10 * time.Minute
	f.run(time.Hour)
	t.Logf("10,000 after 10 minutes of outage: p50 %v, p99 %v, peak %d/s, %d throttled",
		f.percentile(0.5).Round(time.Second), f.percentile(0.99).Round(time.Second), f.peak(10*time.Minute), f.refused)
	if len(f.wait) != fleetSize || f.percentile(0.99) > 70*time.Second || f.refused > 0 {
		t.Errorf("%d connected, p99 %v, %d throttled", len(f.wait), f.percentile(0.99), f.refused)
	}
}

func TestFleetDoesNotComeBackEachHour(t *testing.T) {
	f := newFleet(30*time.Second, 4)
	f.rotate = true
	f.run(6 * time.Hour)
	for h := range 6 {
		t.Logf("hour %d after the cut: peak %d connects/s", h+1, f.hourPeak(time.Duration(h)*time.Hour))
	}
	if n := f.peak(30 * time.Minute); n > 30 {
		t.Errorf("%d connects in a second, want 30 at most", n)
	}
}

func (f *fleet) hourPeak(from time.Duration) (most int) {
	for at, n := range f.perSec {
		if at >= from && at < from+time.Hour {
			most = max(most, n)
		}
	}
	return most
}

// TestFleetThatNobodyWatches: after an outage all agents are silent together. Their questions, or the renewals of those
// that may not ask, neither come back together nor meet the account's limit.
func TestFleetThatNobodyWatches(t *testing.T) {
	for name, denied := range map[string]bool{"asks": false, "may not ask": true} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(30*time.Second, 5)
			f.rotate, f.hearing, f.denied = true, 5*time.Minute, denied
			f.downTill = 10 * time.Minute
			f.run(6 * time.Hour)
			perDay := float64(f.requests+f.asked) / fleetSize * 4
			t.Logf("peak %d/s in the first half hour, %d/s from then on; %.0f connects a day and agent, %d throttled",
				f.peak(10*time.Minute), f.peak(40*time.Minute), perDay, f.refused)
			if n := f.peak(10 * time.Minute); n > connectLimit || f.refused > 0 {
				t.Errorf("%d connects in a second, %d throttled", n, f.refused)
			}
			if n := f.peak(40 * time.Minute); n > connectLimit/2 {
				t.Errorf("%d connects in a second in the long run, want half the limit at most", n)
			}
			if perDay > 360 {
				t.Errorf("%.0f connects a day and agent", perDay)
			}
		})
	}
}

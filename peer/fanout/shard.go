package fanout

import (
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// shard sends to a share of a broadcast's viewers: frame by frame, viewer by viewer, so that one viewer's packets of a
// frame lie side by side and leave as one run. Its goroutine runs while it has viewers.
type shard struct {
	// Held while a part of a frame is sealed and written; nobody but a viewer that has left waits for it, with no lock
	// held.
	leaving sync.Mutex

	mu      sync.Mutex // guards the fields below
	wake    chan struct{}
	queue   []*packets
	queued  int      // bytes
	current *packets // what is being sent now
	passing *packets // the sound that is sent between two parts of it; nil: none
	viewers []*Sender
	done    chan struct{} // closed when the goroutine has ended; nil while there is none
}

func newShard() *shard { return &shard{wake: make(chan struct{}, 1)} }

// add takes a viewer in; the frame numbered from is the first that it gets here.
func (h *shard) add(s *Sender, from uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.joinShard(from)
	h.viewers = append(slices.Clone(h.viewers), s)
	if h.done == nil {
		h.done = make(chan struct{})
		go h.run(h.done)
	}
}

// release lets a viewer go its own way, with all that it has not got yet. It reports whether the viewer was here. What
// was sealed for it here may not have left yet: the viewer's own goroutine waits for that, before it seals anything.
func (h *shard) release(s *Sender) bool {
	rest, was := h.remove(s)
	if was {
		s.leaveShard(h, rest)
	}
	return was
}

// written returns when all has left that was sealed before.
func (h *shard) written() {
	h.leaving.Lock()
	defer h.leaving.Unlock()
}

// remove takes a viewer out, and gives what it may not have got yet: the frame that is being sent, and those that wait.
func (h *shard) remove(s *Sender) (rest []*packets, was bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.viewers, s) {
		return nil, false
	}
	h.viewers = slices.DeleteFunc(slices.Clone(h.viewers), func(x *Sender) bool { return x == s })
	h.wakeUp()
	for _, p := range []*packets{h.current, h.passing} {
		if p != nil {
			rest = append(rest, p)
		}
	}
	return append(rest, h.queue...), true
}

func (h *shard) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.viewers)
}

// wait returns when the goroutine has ended, which it does when there are no viewers.
func (h *shard) wait() {
	if done := h.ending(); done != nil {
		<-done
	}
}

func (h *shard) ending() chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done
}

func (h *shard) wakeUp() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// push queues one frame. When the processor cannot keep up, all viewers lose their queued pictures, up to the next key
// frame.
func (h *shard) push(p *packets) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) == 0 {
		return
	}
	if h.queued+p.bytes > queueBytes {
		h.queue, h.queued = nil, 0
		for _, s := range h.viewers {
			s.mustHaveKey()
		}
	}
	h.queue = append(h.queue, p)
	h.queued += p.bytes
	h.wakeUp()
}

func (s *Sender) mustHaveKey() {
	defer s.Contain("shard")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantKey, s.why = true, dropOverrun
}

// next gives a frame and those who get it. ok is false when the goroutine is to end.
func (h *shard) next() (p *packets, viewers []*Sender, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) == 0 {
		h.queue, h.queued, h.current, h.done = nil, 0, nil, nil
		return nil, nil, false
	}
	h.current = nil
	if len(h.queue) == 0 {
		return nil, nil, true
	}
	p = h.queue[0]
	h.current = p
	h.queue[0] = nil
	h.queue = h.queue[1:]
	h.queued -= p.bytes
	return p, h.viewers, true
}

func (h *shard) run(done chan struct{}) {
	defer close(done)
	a := wire.NewArena(wire.ArenaBytes)
	for {
		p, viewers, ok := h.next()
		switch {
		case !ok:
			return
		case p == nil:
			<-h.wake
		default:
			h.send(p, viewers, a)
		}
	}
}

// nextSound takes the first sound out of the queue, to send it between two parts of a picture.
func (h *shard) nextSound() (p *packets, viewers []*Sender) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passing = nil
	i := slices.IndexFunc(h.queue, func(p *packets) bool { return !p.frame.Codec.Video() })
	if i < 0 {
		return nil, nil
	}
	h.passing = h.queue[i]
	h.queue = slices.Delete(h.queue, i, i+1)
	h.queued -= h.passing.bytes
	return h.passing, h.viewers
}

// send sends one frame to all, a large one in parts: each viewer gets a part, then there is a pause, then each gets the
// next. Sound that has come meanwhile does not wait for the last of them.
func (h *shard) send(p *packets, viewers []*Sender, a *wire.Arena) {
	began := time.Now()
	for from := 0; from < len(p.payloads); from += wire.PartPackets {
		if from > 0 {
			time.Sleep(time.Until(began.Add(partPause * time.Duration(from/wire.PartPackets))))
			for x, all := h.nextSound(); x != nil; x, all = h.nextSound() {
				h.sendPart(x, 0, len(x.payloads), all, time.Now(), a)
			}
		}
		h.sendPart(p, from, min(from+wire.PartPackets, len(p.payloads)), viewers, began, a)
	}
}

func (h *shard) sendPart(p *packets, from, to int, viewers []*Sender, began time.Time, a *wire.Arena) {
	h.leaving.Lock()
	defer h.leaving.Unlock()
	for _, s := range viewers {
		if a.Full() {
			a.Flush()
		}
		s.sendShared(p, from, to, began, a)
	}
	a.Flush()
}

// joinShard lets the shard send, from a frame on.
func (s *Sender) joinShard(from uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined, s.from = true, [2]uint64{from, from}
}

// leaveShard ends that. What is left of a frame that the shard has begun is sent before all else: its packets have
// their numbers. Of the rest, what it has not yet got is queued.
func (s *Sender) leaveShard(h *shard, rest []*packets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left = h; !s.broken.Load() {
		s.begun = s.open
	}
	s.open, s.joined = part{}, false
	s.wakeUp()
	for _, p := range rest {
		if p.number >= *s.due(p) {
			s.take(p)
		}
	}
}

// due is the number of the next frame of this kind that the shard sends. Sound may pass pictures, so each has its own.
func (s *Sender) due(p *packets) *uint64 {
	if p.frame.Codec.Video() {
		return &s.from[0]
	}
	return &s.from[1]
}

// sendShared encrypts a part of a frame for one viewer of a shard. A panic is that viewer's alone.
func (s *Sender) sendShared(p *packets, from, to int, now time.Time, a *wire.Arena) {
	defer s.Contain("shard")
	if s.sealShared(p, from, to, now, a) {
		s.onFirst()
	}
}

// sealShared reports whether this was the end of the first key frame, and somebody wants to know.
func (s *Sender) sealShared(p *packets, from, to int, now time.Time, a *wire.Arena) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken.Load() || !s.joined || s.direct == nil {
		return false
	}
	s.Guard.At("shard")
	t := s.tracks[p.frame.Codec]
	if t == nil {
		s.missed(p)
		return false
	}
	x, ok := s.sharedPart(p, from, to, now)
	if !ok {
		return false
	}
	if t.sealPart(x, now, s.direct, a) {
		s.tell()
	}
	switch {
	case to < len(p.payloads):
		s.open = part{p, x.pts, to, len(p.payloads)}
		return false
	case p.frame.Codec.Video() || s.open.p == p: // sound that passes leaves the picture open
		s.open = part{}
	}
	return s.meter(p, now)
}

// sharedPart is the part of a frame that a viewer of a shard gets now; ok is false for one that it does not get, or got
// otherwise.
func (s *Sender) sharedPart(p *packets, from, to int, now time.Time) (x part, ok bool) {
	if from > 0 {
		return part{p, s.open.pts, from, to}, s.open.p == p
	}
	due := s.due(p)
	if p.number < *due {
		return part{}, false
	}
	*due = p.number + 1
	pts, ok := s.takes(p)
	if !ok {
		return part{}, false
	}
	if p.frame.Codec.Video() {
		s.last = pts
	}
	x = part{p, pts, from, to}
	s.begins(x, now)
	return x, true
}

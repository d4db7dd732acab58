package peer

import (
	"context"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

const (
	// queueBytes is how far a viewer may fall behind live before it loses frames up to the next key frame.
	queueBytes = 2 << 20
	// burstRate paces what leaves faster than real time, the window that a newcomer gets and large key frames, in bytes a second (about
	// 100 Mbit/s): an unpaced burst overruns the receiver's socket buffer.
	burstRate  = 12_500_000
	burstSlack = 2 * time.Millisecond
)

// sender is the queue between a broadcast and one Conn: push never blocks, run writes at the pace the network takes.
type sender struct {
	tracks  map[media.Codec]*outTrack
	onFirst func() // the first key frame has been written; called once from run

	wake chan struct{} // 1 slot

	mu      sync.Mutex // guards the fields below
	queue   []*packets
	queued  int // bytes
	limit   int
	wantKey bool
	meters  map[media.Codec]*media.Meter
	dropped map[media.Codec]uint64
}

func newSender(tracks []*outTrack, onFirst func()) *sender {
	s := &sender{
		tracks: map[media.Codec]*outTrack{}, onFirst: onFirst, wake: make(chan struct{}, 1), wantKey: true, limit: queueBytes,
		meters: map[media.Codec]*media.Meter{}, dropped: map[media.Codec]uint64{},
	}
	for _, t := range tracks {
		s.tracks[t.codec] = t
		s.meters[t.codec] = &media.Meter{}
	}
	return s
}

// begin queues what a newcomer gets at once, whatever its size.
func (s *sender) begin(window []*packets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range window {
		if s.tracks[p.frame.Codec] == nil {
			continue
		}
		s.queue = append(s.queue, p)
		s.queued += p.bytes
		s.wantKey = false
	}
	s.limit = s.queued + queueBytes
	s.poke()
}

// push queues one frame. When the viewer is too slow all its queued pictures go, and the next it gets is a key frame.
func (s *sender) push(p *packets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	codec := p.frame.Codec
	if s.tracks[codec] == nil {
		return
	}
	if s.queued+p.bytes > s.limit {
		s.dropVideo()
	}
	if codec.Video() {
		if s.wantKey && !p.frame.Key {
			s.dropped[codec]++
			return
		}
		s.wantKey = false
	}
	if s.queued+p.bytes > s.limit {
		s.dropped[codec]++
		return
	}
	s.queue = append(s.queue, p)
	s.queued += p.bytes
	s.poke()
}

func (s *sender) dropVideo() {
	kept := s.queue[:0]
	for _, p := range s.queue {
		if p.frame.Codec.Video() {
			s.dropped[p.frame.Codec]++
			s.queued -= p.bytes
			continue
		}
		kept = append(kept, p)
	}
	clear(s.queue[len(kept):])
	s.queue, s.wantKey = kept, true
}

func (s *sender) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sender) next() *packets {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.limit = queueBytes
		return nil
	}
	p := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.queued -= p.bytes
	return p
}

// run writes until ctx is done or the connection takes no more.
func (s *sender) run(ctx context.Context) error {
	due := time.Now()
	for {
		p := s.next()
		if p == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
				continue
			}
		}
		if now := time.Now(); due.Before(now) {
			due = now
		}
		if wait := time.Until(due); wait > burstSlack {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
		}
		due = due.Add(time.Duration(p.bytes) * time.Second / burstRate)
		if err := s.tracks[p.frame.Codec].write(p); err != nil {
			return err
		}
		s.wrote(p)
	}
}

func (s *sender) wrote(p *packets) {
	s.mu.Lock()
	m := s.meters[p.frame.Codec]
	first := p.frame.Key && m.KeyFrames == 0
	m.Add(time.Now(), p.frame.Key, p.bytes)
	s.mu.Unlock()
	if first && s.onFirst != nil {
		s.onFirst()
	}
}

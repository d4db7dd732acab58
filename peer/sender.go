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
	// partPackets and partPause pace what leaves faster than real time, the window that a newcomer gets and large key frames, to about 100 Mbit/s: an
	// unpaced burst overruns the receiver's socket buffer.
	partPackets = 20
	partPause   = 1900 * time.Microsecond
)

// sender is what a broadcast knows of one Conn. It begins with a queue and a goroutine of its own, which bring it up to live. Then, if its
// packets can go straight into the shared socket, it joins a shard; else (TURN, TCP, a cipher that is not ours) it keeps its queue, where
// waiting for the network keeps nobody else waiting.
type sender struct {
	tracks  map[media.Codec]*outTrack
	onFirst func() // the first key frame has been sent; called once
	askKey  func() // asks the source for a key frame; may be nil

	wake chan struct{} // 1 slot

	mu       sync.Mutex // guards the fields below
	direct   *direct
	queue    []*packets
	queued   int // bytes
	limit    int
	wantKey  bool
	joined   bool     // in a shard
	from     uint64   // the first frame that the shard sends
	skipping *packets // the frame whose parts the shard leaves out
	meters   map[media.Codec]*media.Meter
	dropped  map[media.Codec]uint64
	resent   uint64    // packets
	plis     uint64    // key frames asked for
	askedKey time.Time // when the source was last asked
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

// setDirect opens, moves (ICE chose another pair) or closes (d is nil) the way around Pion. It reports false when it cannot be closed any more: Pion
// does not know how often the sequence numbers have rolled over.
func (s *sender) setDirect(d *direct) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d == nil && s.direct != nil {
		for _, t := range s.tracks {
			if t.rolledOver() {
				return false
			}
		}
	}
	s.direct = d
	return true
}

func (s *sender) isDirect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.direct != nil
}

func (t *outTrack) rolledOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next > 0xffff
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
	if s.tracks[codec] == nil || s.joined {
		return
	}
	if s.queued+p.bytes > s.limit {
		s.dropVideo()
	}
	if s.skip(p) {
		return
	}
	if s.queued+p.bytes > s.limit {
		s.dropped[codec]++
		return
	}
	s.queue = append(s.queue, p)
	s.queued += p.bytes
	s.poke()
}

// skip says whether a picture must be left out because one before it was.
func (s *sender) skip(p *packets) bool {
	if !p.frame.Codec.Video() {
		return false
	}
	if s.wantKey && !p.frame.Key {
		s.dropped[p.frame.Codec]++
		return true
	}
	s.wantKey = false
	return false
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

func (s *sender) pop() *packets {
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

// run sends what is queued, until ctx is done or the connection takes no more. promote is asked whenever the queue is empty, and takes the sender into a shard if
// it can.
func (s *sender) run(ctx context.Context, promote func(*sender)) error {
	var own *arena
	paced := time.Now()
	for {
		p := s.pop()
		if p == nil {
			promote(s)
			own = nil
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
				continue
			}
		}
		for from := 0; from < len(p.payloads); from += partPackets {
			if !pace(ctx, &paced) {
				return nil
			}
			x := part{p, from, min(from+partPackets, len(p.payloads))}
			paced = paced.Add(partPause * time.Duration(x.to-x.from) / partPackets)
			if own == nil {
				own = s.ownArena()
			}
			if err := s.send(x, own); err != nil {
				return err
			}
			if own != nil {
				own.flush()
			}
		}
		s.count(p)
	}
}

// pace waits until its time has come, and brings a time that is past up to now. It reports whether ctx is still good.
func pace(ctx context.Context, due *time.Time) bool {
	wait := time.Until(*due)
	if wait < 0 {
		*due = time.Now()
	}
	if wait < 2*partPause {
		return true // timers are not finer
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// ownArena is an arena for this sender alone, or nil when its packets go through Pion.
func (s *sender) ownArena() *arena {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.direct == nil {
		return nil
	}
	return newArena(2 * partPackets * 1200)
}

// send sends a part of a frame. With an arena it is only encrypted; the caller flushes.
func (s *sender) send(x part, a *arena) error {
	t := s.tracks[x.p.frame.Codec]
	s.mu.Lock()
	d := s.direct
	if d == nil || a == nil {
		s.mu.Unlock()
		return t.writePart(x)
	}
	t.sealPart(x, d, a) // under the lock: the cipher is for one at a time
	s.mu.Unlock()
	return nil
}

// sendAgain answers a NACK.
func (s *sender) sendAgain(ssrc uint32, seqs []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var a *arena
	if s.direct != nil {
		a = newArena(resendBytes)
	}
	for _, t := range s.tracks {
		s.resent += uint64(t.sendAgain(ssrc, seqs, s.direct, a))
	}
	if a != nil {
		a.flush()
	}
}

// resendBytes is how much is sent again in one go; it is the arena of one NACK.
const resendBytes = 32 << 10

// count notes that a frame has been sent.
func (s *sender) count(p *packets) {
	s.mu.Lock()
	m := s.meters[p.frame.Codec]
	first := p.frame.Key && m.KeyFrames == 0
	m.Add(time.Now(), p.frame.Key, p.bytes)
	s.mu.Unlock()
	if first && s.onFirst != nil {
		s.onFirst()
	}
}

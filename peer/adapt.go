package peer

import (
	"context"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

const (
	subFor     = 30 * time.Second       // the smaller stream is kept ready for so long after a path was full
	chokedAt   = 0.75                   // of a level: a path that carries less than this gets none of it
	chokedFor  = 3 * time.Second        // while it waits for the smaller one
	quietMost  = 500 * time.Millisecond // that nothing is sent into a path that has become full
	quietAgain = 3 * time.Second        // between two such times
)

// start tells how the viewer is reached, and whether it can take only one level, must. A viewer that is far away begins with the smaller stream if that is there, and one behind a
// relay comes to it as soon as it is.
func (s *sender) start(r reach, remote string, must Level) {
	warm := s.b.warm(Sub)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reach, s.remote, s.level = r, remote, must
	s.ladder.fixed = must != Main || !s.b.hasSub()
	if !s.ladder.fixed && warm && r != near {
		s.level = Sub
	}
	s.wish = s.level
	if !s.ladder.fixed && r == relayed {
		s.wish = Sub
	}
	s.ladder.level = s.wish
	if s.video != nil {
		s.video.newPath(r.most())
	}
}

// moved tells that ICE has chosen a pair. When that leads elsewhere, nothing is known of the path yet; browsers choose the same again and again, under other local addresses.
func (s *sender) moved(r reach, remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reach == r && s.remote == remote {
		return
	}
	s.reach, s.remote = r, remote
	if s.video != nil {
		s.video.newPath(r.most())
	}
}

// wanted is the level that the viewer has or is about to have.
func (s *sender) wanted() Level {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wish
}

// setWish notes which level the viewer is to have, and reports whether that is another than it has.
func (s *sender) setWish(l Level) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wish = l
	return s.level != l
}

// mayRepeat says whether a key frame that was sent already may be sent again, out of turn. One that is under way, and one that was repeated, may not.
func (s *sender) mayRepeat(key *packets, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served != key.number && now.Sub(s.keyAt) > repeatAfter
}

// repeatAfter is how long a viewer with a slow path may take to see a key frame and to stop asking.
const repeatAfter = 1500 * time.Millisecond

// onFeedback takes the FCI of transport-wide feedback. It is called by who reads the socket, or by Pion's reader, and does not block.
func (s *sender) onFeedback(fci []byte) {
	now := time.Now()
	if s.video == nil || !s.video.onFeedback(now, fci) {
		return
	}
	if s.attentive() {
		s.tell()
	}
}

// attentive says whether each feedback may change something.
func (s *sender) attentive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ladder.level != Main || s.video.pathState().Full || s.leave != nil
}

// reported takes the share of packets that a receiver report calls lost.
func (s *sender) reported(now time.Time, lost float64) {
	s.video.onLoss(now, lost, s.videoRate(now))
	s.tell()
}

// videoRate is what the picture takes now, in bit/s.
func (s *sender) videoRate(now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, rate := s.meters[s.video.codec].Rates(now)
	return rate
}

// estimated takes the remote's own estimate.
func (s *sender) estimated(now time.Time, rate float64) {
	if s.video != nil {
		s.video.onREMB(now, rate)
		s.tell()
	}
}

// tell wakes whoever adapts.
func (s *sender) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// adapt does what follows from what is known of the path. One goroutine calls it.
func (s *sender) adapt(ctx context.Context, now time.Time) {
	if s.video == nil {
		return
	}
	rates := s.b.bitrates(now)
	var subs []media.Track
	if s.b.hasSub() {
		subs, _ = s.b.current(Sub)
	}
	s.mu.Lock()
	s.rates = rates
	path := s.video.pathState()
	path.Fine = path.Fine && s.video.canProbe()
	l, probe := s.ladder.step(now, path, rates[Main], s.reach.most())
	if l == Sub && s.level == Main && !s.fits(subs) {
		s.ladder.fixed, s.ladder.level, l = true, Main, Main
	}
	moved, slow := l != s.wish, s.joined && path.Full
	if path.Full && path.Estimate < rates[s.level] && now.Sub(s.quiet) > quietAgain {
		s.quiet = now.Add(min(path.Waiting, quietMost)) // what is queued in the path would only be dropped there
	}
	ready := l == Sub || s.ladder.thin(now, path, rates[Main]) || s.level == Sub || !path.FullAt.IsZero() && now.Sub(path.FullAt) < subFor
	if moved && l == Sub && path.Estimate < chokedAt*rates[Main] {
		s.choked = now.Add(chokedFor)
		s.dropVideo(dropBehind)
	}
	s.mu.Unlock()
	if slow {
		s.b.demote(s)
	}
	s.keepSub(ready)
	if moved {
		s.b.move(s, l)
	}
	if probe > 0 {
		s.probe(ctx, probe)
	}
}

// fits says whether this viewer can take the smaller stream; as long as its tracks are not known, it can.
func (s *sender) fits(tracks []media.Track) bool {
	for _, t := range tracks {
		if t.Codec.Video() && s.tracks[t.Codec] == nil {
			return false
		}
	}
	return true
}

// keepSub keeps the smaller stream running, or lets it go.
func (s *sender) keepSub(ready bool) {
	switch {
	case !s.b.hasSub():
	case ready && s.leave == nil:
		leave := s.b.join(Sub)
		s.mu.Lock()
		s.leave = leave
		s.mu.Unlock()
	case !ready && s.leave != nil:
		s.leave()
		s.mu.Lock()
		s.leave = nil
		s.mu.Unlock()
	}
}

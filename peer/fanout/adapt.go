package fanout

import (
	"context"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

const (
	subFor     = 30 * time.Second       // the smaller stream is kept ready for so long after a path was full
	chokedAt   = 0.75                   // of a level: a path that carries less than this gets none of it
	chokedFor  = 3 * time.Second        // while it waits for the smaller one
	drainMost  = 500 * time.Millisecond // that nothing is sent into a path that has become full
	drainAgain = 3 * time.Second        // between two such times
)

// ReportLoop sends sender reports, the first at once, and adapts to what the remote tells of its path, to
// what the levels become, and once a second in any case, until ctx is done.
func ReportLoop(ctx context.Context, pc *webrtc.PeerConnection, s *Sender) {
	defer s.Contain("report loop")
	defer s.keepSub(false)
	defer s.writeAside()
	s.Guard.At("report loop")
	report := time.NewTimer(reportEvery / 20) // the first frames are on their way
	defer report.Stop()
	for {
		s.writeAside()
		_, changed := s.b.Current(Main)
		s.adapt(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-s.news:
			continue
		case <-changed: // of whatever level: the viewer may take its codec now, or no longer
			continue
		case <-report.C:
			report.Reset(reportEvery)
		}
		if reports := s.reports(time.Now()); len(reports) > 0 && pc.WriteRTCP(reports) != nil {
			return
		}
	}
}

// Start tells how the viewer is reached. must is the level of a remote that takes no other.
func (s *Sender) Start(class PathClass, remote string, must Level) {
	levels := s.b.states(s, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.class, s.remote, s.must = class, remote, must
	d := s.decide(Circumstances{Levels: levels})
	s.level, s.target = d.begin, d.Target
	if s.video != nil {
		s.video.newPath(class.most())
	}
}

// decide chooses the viewer's level, and lets the ladder go on from there.
func (s *Sender) decide(c Circumstances) decision {
	c.class = s.class
	if s.must == Sub {
		c.Levels[Main].Fit = fitsNot
	}
	d := Choose(c)
	s.ladder.level, s.ladder.fixed = d.Target, d.fixed
	return d
}

// takesTrack says whether the viewer has agreed to a track's codec.
func (s *Sender) takesTrack(t media.Track) bool { return s.tracks[t.Codec] != nil }

// Moved tells that ICE has chosen a pair. When that leads elsewhere, nothing is known of the path yet; browsers choose
// the same again and again, under other local addresses.
func (s *Sender) Moved(class PathClass, remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.class == class && s.remote == remote {
		return
	}
	s.class, s.remote = class, remote
	if s.video != nil {
		s.video.newPath(class.most())
	}
}

// levels are the level that the viewer has, and the one that it is to have.
func (s *Sender) levels() (level, target Level) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level, s.target
}

// setTarget notes which level the viewer is to have, and reports whether that is another than it has.
func (s *Sender) setTarget(l Level) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = l
	return s.level != l
}

// OnFeedback takes the FCI of transport-wide feedback. The reader of the socket calls it, or Pion's, so it
// does not block.
func (s *Sender) OnFeedback(fci []byte) {
	now := time.Now()
	if s.video == nil {
		return
	}
	if s.missedStart(fci) {
		s.tell()
	}
	if !s.video.onFeedback(now, fci) {
		return
	}
	if s.attentive() {
		s.tell()
	}
}

// attentive says whether each feedback may change something.
func (s *Sender) attentive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ladder.level != Main || s.video.pathState().Full || s.leave != nil
}

// reported takes the share of packets that a receiver report calls lost.
func (s *Sender) reported(now time.Time, lost float64) {
	s.video.onLoss(now, lost, s.videoRate(now))
	s.tell()
}

// videoRate is what the picture takes now, in bit/s.
func (s *Sender) videoRate(now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, rate := s.meters[s.video.Codec].Rates(now)
	return rate
}

// estimated takes the remote's own estimate.
func (s *Sender) estimated(now time.Time, rate float64) {
	if s.video != nil {
		s.video.onREMB(now, rate)
		s.tell()
	}
}

// tell wakes the report loop.
func (s *Sender) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// adaptation is what follows from what is known of a viewer's path and of the levels.
type adaptation struct {
	target Level
	moved  bool    // the target is another than before
	slow   bool    // its path is too narrow for a shard
	sub    bool    // the smaller stream should run
	probe  float64 // bit/s; 0: no probe
}

// adapt carries out what follows from what is known of the path and of the levels. The report loop calls it: after
// news, when the tracks of a level have changed, and once a second.
func (s *Sender) adapt(ctx context.Context, now time.Time) {
	if s.video == nil {
		return
	}
	s.b.startAgain(s)
	a := s.judge(now, s.b.states(s, now))
	if a.slow {
		s.b.Demote(s)
	}
	s.keepSub(a.sub)
	if a.moved {
		s.b.move(s, a.target)
	}
	if a.probe > 0 && !s.isPaused() {
		s.probe(ctx, a.probe)
	}
}

// judge looks at the path, chooses the level, and stops what the path cannot carry.
func (s *Sender) judge(now time.Time, levels [2]LevelState) (a adaptation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates = [2]float64{levels[Main].rate, levels[Sub].rate}
	path := s.video.pathState()
	path.Fine = path.Fine && s.video.canProbe()
	carries, probe := s.ladder.step(now, path, s.rates[Main], s.class.most())
	d := s.decide(Circumstances{Levels: levels, tried: true, path: carries})
	a = adaptation{target: d.Target, moved: d.Target != s.target, slow: s.joined && path.Full, probe: probe}
	if path.Full && path.Estimate < s.rates[s.level] && now.Sub(s.drainUntil) > drainAgain {
		s.drainUntil = now.Add(min(path.Waiting, drainMost)) // what is queued in the path would only be dropped there
	}
	lately := !path.FullAt.IsZero() && now.Sub(path.FullAt) < subFor
	a.sub = d.Target == Sub || s.level == Sub || !d.fixed && (lately || s.ladder.thin(now, path, s.rates[Main]))
	if a.moved && d.Target == Sub && path.Estimate < chokedAt*s.rates[Main] {
		s.choked = now.Add(chokedFor)
		s.dropVideo(dropBehind)
	}
	return a
}

// keepSub keeps the smaller stream running, or lets it go.
func (s *Sender) keepSub(ready bool) {
	switch {
	case !s.b.HasSub():
	case ready && s.leave == nil:
		leave := s.b.Join(Sub)
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

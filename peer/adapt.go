package peer

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
	"github.com/kvsagent/kvsagent/media"
)

// reach is how far away a viewer is, which tells what to begin with before its path is known.
type reach int

const (
	near    reach = iota // in our own network, or a test's
	far                  // somewhere on the Internet
	relayed              // through a TURN server
)

// relayMost is what a KVS TURN server carries (KVS dev guide, quotas: 5 Mbit/s for each allocation), less what sound and retransmissions need.
const relayMost = 4_500_000

// first is the rate in bit/s at which a burst begins.
func (r reach) first() float64 { return [...]float64{100e6, 8e6, relayMost}[r] }

// most is what the path carries at most, in bit/s; 0 is not known.
func (r reach) most() float64 { return [...]float64{0, 0, relayMost}[r] }

const (
	narrowFor  = 20 * time.Second // a path that was full is paced for so long
	drainFor   = 3 * time.Second  // and hardly faster than it carries
	drainOver  = 1.25
	emptyWait  = 30 * time.Millisecond  // packets that wait longer than this have others before them
	subFor     = 30 * time.Second       // the smaller stream is kept ready for so long after that
	burstOver  = 2.5                    // times what a path carries is how fast a large picture goes into it
	paceLeast  = 300_000                // bit/s: less is no picture
	chokedAt   = 0.75                   // of a level: a path that carries less than this gets none of it
	chokedFor  = 3 * time.Second        // while it waits for the smaller one
	quietMost  = 500 * time.Millisecond // that nothing is sent into a path that has become full
	quietAgain = drainFor
	partTime   = 4 * time.Millisecond
)

// burstRate is how fast packets may leave, in bit/s.
func (s *sender) burstRate() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rate(time.Now())
}

func (s *sender) rate(now time.Time) float64 {
	most := s.reach.first()
	if s.video == nil {
		return most
	}
	path := s.video.pathState()
	switch {
	case path.Estimate == 0 || path.FullAt.IsZero():
		return most
	case path.Full || path.Waiting > emptyWait:
		return min(max(path.Estimate, paceLeast), most)
	case now.Sub(path.FullAt) < drainFor:
		return min(max(drainOver*path.Estimate, paceLeast), most) // so that it is found out when the path carries more
	}
	return min(burstOver*max(path.Estimate, s.rates[s.level], paceLeast), most)
}

// pace is how many packets may leave at once, the rate in bit/s, and when the next may leave.
func (s *sender) pace(now time.Time) (packets int, rate float64, quiet time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate = s.rate(now)
	return min(max(1, int(rate/8*partTime.Seconds())/maxPayload), partPackets), rate, s.quiet
}

// upToLive says whether a sender can leave its queue.
func (s *sender) upToLive(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0 && s.direct != nil && !s.joined && !s.narrow(now)
}

// narrow says whether the path has been full of late.
func (s *sender) narrow(now time.Time) bool {
	if s.video == nil {
		return false
	}
	path := s.video.pathState()
	return !path.FullAt.IsZero() && now.Sub(path.FullAt) < narrowFor
}

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

// onFeedback takes the FCI of transport-wide feedback. It is called by Pion's reader and does not block.
func (s *sender) onFeedback(fci []byte) {
	now := time.Now()
	if s.video == nil || !s.video.onFeedback(now, fci) {
		return
	}
	s.mu.Lock()
	wake := s.ladder.level != Main || s.video.pathState().Full || s.leave != nil
	s.mu.Unlock()
	if wake {
		s.tell()
	}
}

// reported takes the share of packets that a receiver report calls lost.
func (s *sender) reported(now time.Time, lost float64) {
	s.mu.Lock()
	_, rate := s.meters[s.video.codec].Rates(now)
	s.mu.Unlock()
	s.video.onLoss(now, lost, rate)
	s.tell()
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

// A probe is as short as can be, so that a path that does not carry it is not filled by it.
const (
	probeTime  = 25 * time.Millisecond
	probeBytes = 6 * maxPayload // at least
	probePause = 3 * time.Millisecond
)

// probe sends a train of packets at a rate in bit/s.
func (s *sender) probe(ctx context.Context, rate float64) {
	left := max(int(rate/8*probeTime.Seconds()), probeBytes)
	step := max(int(rate/8*probePause.Seconds()), maxPayload)
	s.video.beginProbe()
	defer s.video.endProbe()
	for due := time.Now(); left > 0 && ctx.Err() == nil; left -= step {
		s.mu.Lock()
		d := s.direct
		var a *arena
		if d != nil {
			a = newArena(2*step + 2*1200)
		}
		s.video.probe(min(step, left), d, a)
		if a != nil {
			a.flush()
		}
		s.mu.Unlock()
		due = due.Add(time.Duration(float64(step*8) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
	}
}

// The path of a track, each under its lock.

func (t *outTrack) pathState() bwe.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.State()
}

// newPath begins to learn about another path; most is what it carries at most, 0 is not known.
func (t *outTrack) newPath(most float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.Moved()
	t.path.Most = most
}

func (t *outTrack) onFeedback(now time.Time, fci []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.Feedback(now, fci) == nil
}

func (t *outTrack) onLoss(now time.Time, lost, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.Report(now, lost, rate)
}

func (t *outTrack) onREMB(now time.Time, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.REMB(now, rate)
}

func (t *outTrack) beginProbe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.BeginProbe()
}

func (t *outTrack) endProbe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.EndProbe()
}

// source is the SSRC that packets have.
func (t *outTrack) source() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ssrc
}

// eachFeedback finds transport-wide feedback (RFC 4585 section 6.1: payload type 205, format 15) in a compound RTCP packet.
func eachFeedback(compound []byte, each func(fci []byte)) {
	for len(compound) >= 4 {
		n := 4 + 4*int(binary.BigEndian.Uint16(compound[2:]))
		if n > len(compound) {
			return
		}
		if compound[1] == 205 && compound[0]&0x1f == 15 && n >= 12 {
			each(compound[12:n])
		}
		compound = compound[n:]
	}
}

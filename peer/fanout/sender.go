package fanout

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/webrtc/v4"
)

const (
	// queueBytes is how much may wait for a viewer, beyond what it gets at its start.
	queueBytes = 2 << 20
	// behindMost is how long a live picture may wait for a viewer before it loses pictures up to the next key frame.
	behindMost = time.Second
	// skipAge is how old the pictures that wait may be for them to be sent all the same when a key frame has come.
	skipAge   = 500 * time.Millisecond
	partPause = 1900 * time.Microsecond
)

// Sender is what a broadcast knows of one Conn. It begins with a queue and a goroutine of its own, which bring it up to
// live. Then, if its packets can go straight into the socket and its path is wide, it joins a shard; else it keeps its
// queue, where waiting for the network delays no other viewer.
type Sender struct {
	b       *Broadcast
	tracks  map[media.Codec]*Track
	video   *Track         // of tracks; nil when there is none
	onFirst func()         // the first key frame has been sent; called once
	Guard   *contain.Guard // of the connection; nil contains nothing

	Clock *WallClock // of the connection; nil: of this sender alone

	broken atomic.Bool // a panic has hit it: it takes and sends nothing more

	wake chan struct{} // 1 slot: the queue is no longer empty
	news chan struct{} // 1 slot: more is known of the path

	mu       sync.Mutex // guards the fields below
	direct   *wire.Direct
	class    PathClass
	remote   string     // address
	rates    [2]float64 // what each level takes, in bit/s
	queue    []item
	queued   int // bytes
	limit    int
	catching bool // what waits began with pictures that are not live
	wantKey  bool
	paused   [2]bool       // pictures, and sound: the remote does not want to receive them
	why      drop          // why it must have a key frame
	level    Level         // of the pictures that it gets
	target   Level         // of those that it is to get, from a key frame on
	must     Level         // Sub when the remote has agreed to no other
	moves    uint64        // from one level to another
	last     time.Duration // PTS under which the last picture leaves; negative: none yet
	joined   bool          // in a shard
	from     [2]uint64     // the next picture, and the next sound, that the shard sends
	open     part          // of the frame of which the shard has sent a part: the rest
	begun    part          // the same, once it is left to this sender
	left     *shard        // in which packets of this sender may still wait to be written
	meters   map[media.Codec]*media.Meter
	dropped  map[media.Codec]drops
	resent   uint64    // packets
	plis     uint64    // key frames asked for
	asked    time.Time // when one was last asked for
	keyAt    time.Time // when one was last under way
	resumed  bool      // and nothing has been queued since
	served   uint64    // number of the key frame that was last sent again
	first    firstStart
	ladder   ladder
	// Until then no pictures of the level that it is to leave are sent: the path is much too narrow for them.
	choked     time.Time
	drainUntil time.Time // nothing is sent before: the path empties itself
	leave      func()    // the smaller stream; nil when it is not wanted
}

// item is a frame that waits for its turn.
type item struct {
	p    *packets
	from int           // the first packet that is still to be sent
	pts  time.Duration // under which it leaves
	at   time.Time     // when it came; zero for one that is older than that
}

// drop is why a viewer does not get a frame.
type drop int

const (
	dropStart   drop = iota // before its first key frame
	dropBehind              // its path was too slow
	dropOverrun             // this host was too slow
	dropKinds
)

type drops [dropKinds]uint64

func (d drops) total() (n uint64) {
	for _, k := range d {
		n += k
	}
	return n
}

// byReason is nil when there are none.
func (d drops) byReason() map[string]uint64 {
	var out map[string]uint64
	for why, n := range d {
		if n > 0 {
			if out == nil {
				out = map[string]uint64{}
			}
			out[[...]string{"start", "behind", "overrun"}[why]] = n
		}
	}
	return out
}

// NewSender makes a sender of some tracks. onFirst is called once, when the first key frame was sent; nil is not.
func NewSender(b *Broadcast, tracks []*Track, onFirst func()) *Sender {
	s := &Sender{
		b: b, tracks: map[media.Codec]*Track{}, onFirst: onFirst, wake: make(chan struct{}, 1),
		news: make(chan struct{}, 1), wantKey: true, limit: queueBytes, last: -time.Second,
		meters: map[media.Codec]*media.Meter{}, dropped: map[media.Codec]drops{},
	}
	for _, t := range tracks {
		s.tracks[t.Codec] = t
		s.meters[t.Codec] = &media.Meter{}
		if t.Codec.Video() {
			s.video = t
			s.first.over = t.goesOn() // the remote has long seen the start of this stream
		}
	}
	return s
}

// SetDirect opens, moves (ICE chose another pair) or closes (d is nil) the way around Pion. It reports false when it
// cannot be closed: Pion has fallen too far behind to know how often the sequence numbers have rolled over.
func (s *Sender) SetDirect(d *wire.Direct) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d == nil && s.direct != nil {
		for _, t := range s.tracks {
			if !t.pionFollows() {
				return false
			}
		}
	}
	if d != nil {
		d.Owner = s
	}
	s.direct = d
	return true
}

// DirectTo is where packets go straight from the socket; the zero address: they go through Pion.
func (s *Sender) DirectTo() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.direct == nil {
		return netip.AddrPort{}
	}
	return s.direct.To
}

func (s *Sender) inShard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined
}

// begin queues what a newcomer gets at once, whatever its size.
func (s *Sender) begin(window []*packets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.canSend(window) || s.paused[0] {
		return
	}
	for _, p := range window {
		s.add(item{p: p, pts: p.frame.PTS})
	}
	s.wantKey = false
	s.limit = s.queued + queueBytes
	s.wakeUp()
}

// restart queues a level's window in place of the pictures that wait. They lie in the past, so their times are pressed
// between that of the last picture and now: times must not go back.
func (s *Sender) restart(l Level, window []*packets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.canSend(window) {
		return
	}
	s.dropVideo(dropBehind)
	s.catching = s.level != l
	s.enter(l)
	if s.paused[0] {
		return
	}
	newest, n := window[len(window)-1].frame.PTS, time.Duration(len(window))
	if s.resumed || s.last < 0 { // times go on at the present, or begin there
		s.last, s.resumed = max(s.last, newest-n*time.Millisecond), false
	}
	step := max((newest-s.last)/n, time.Millisecond)
	for _, p := range window {
		s.add(item{p: p, pts: s.last + step})
	}
	s.served, s.wantKey = window[0].number, false
	s.limit = s.queued + queueBytes
	s.wakeUp()
}

// canSend says whether a window begins with a picture that this viewer can begin with: a key frame of a codec for which
// it has a track. stream.keep sees to it that all of a window is of one codec.
func (s *Sender) canSend(window []*packets) bool {
	return len(window) > 0 && window[0].frame.Key && s.tracks[window[0].frame.Codec] != nil
}

// add queues a frame. It is the only way into the queue, and takes no frame that has no track: the source may give a
// codec that was not negotiated, and the levels may differ in theirs.
func (s *Sender) add(x item) {
	if s.tracks[x.p.frame.Codec] == nil {
		return
	}
	s.queue = append(s.queue, x)
	s.queued += x.p.bytes
	if x.p.frame.Codec.Video() {
		s.last = x.pts
	}
}

// push queues one frame. When the viewer is too slow all its queued pictures go, and the next it gets is a key frame.
func (s *Sender) push(p *packets) {
	defer s.Contain("queue")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Guard.At("queue")
	if !s.joined {
		s.take(p)
	}
}

// take is push, with the lock held.
func (s *Sender) take(p *packets) {
	codec := p.frame.Codec
	if s.broken.Load() {
		return
	}
	if s.tracks[codec] == nil {
		s.missed(p)
		return
	}
	now := time.Now()
	most := behindMost
	if s.catching {
		most += catchUp
	}
	switch {
	case s.queued+p.bytes > s.limit || s.behind(now) > most:
		s.dropVideo(dropBehind)
	case p.frame.Key && p.level == s.level && s.age(now) > skipAge:
		s.dropVideo(dropBehind) // here is a way up to live
	}
	pts, ok := s.takes(p)
	if !ok {
		return
	}
	if s.queued+p.bytes > s.limit {
		s.count(codec, dropBehind)
		return
	}
	s.add(item{p: p, pts: pts, at: now})
	s.wakeUp()
}

// behind is how long the oldest live picture has waited.
func (s *Sender) behind(now time.Time) time.Duration {
	for i := range s.queue {
		if x := &s.queue[i]; x.p.frame.Codec.Video() {
			if x.at.IsZero() {
				return 0
			}
			return now.Sub(x.at)
		}
	}
	return 0
}

// age is how old the oldest picture is that waits.
func (s *Sender) age(now time.Time) time.Duration {
	for i := range s.queue {
		if f := s.queue[i].p.frame; f.Codec.Video() {
			return now.Sub(f.Captured)
		}
	}
	return 0
}

// takes says whether a live frame is for this viewer, and the PTS under which it leaves. The viewer comes to the level
// that it is to have with a key frame of that, and a picture is left out when one before it was.
func (s *Sender) takes(p *packets) (pts time.Duration, ok bool) {
	f := p.frame
	if s.pausedFor(f.Codec) {
		return 0, false
	}
	if !f.Codec.Video() {
		return f.PTS, true
	}
	if p.level != s.level {
		if p.level != s.target || !f.Key {
			return 0, false
		}
		s.enter(p.level)
	}
	if s.level != s.target && time.Now().Before(s.choked) {
		s.wantKey, s.why = true, dropBehind
	} else if f.Key {
		s.wantKey = false
	}
	if s.wantKey {
		s.count(f.Codec, s.why)
		return 0, false
	}
	return max(f.PTS, s.last+time.Millisecond), true // a level that lies behind the other catches up
}

// missed notes a frame for which there is no track. After a picture of the viewer's level it must have a key frame, as
// after any that was left out.
func (s *Sender) missed(p *packets) {
	if p.frame.Codec.Video() && p.level == s.level {
		s.wantKey, s.why = true, dropStart
	}
}

// pausedFor says whether the remote does not want to receive a codec's kind.
func (s *Sender) pausedFor(codec media.Codec) bool { return s.paused[pauseOf(codec.Video())] }

func pauseOf(video bool) int {
	if video {
		return 0
	}
	return 1
}

// Pause stops what is sent of a kind, or lets it go on: pictures at once from what is cached, from where they have a
// level with pictures, or with the next key frame. Nothing that was left out meanwhile counts as lost.
func (s *Sender) Pause(kind webrtc.RTPCodecType, paused bool) {
	video := kind == webrtc.RTPCodecTypeVideo
	if s.setPaused(video, paused) && video && !paused {
		s.b.resume(s)
	}
}

// isPaused says whether the remote does not want to receive pictures.
func (s *Sender) isPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused[0]
}

// setPaused reports whether that changes anything.
func (s *Sender) setPaused(video, paused bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused[pauseOf(video)] == paused {
		return false
	}
	s.paused[pauseOf(video)] = paused
	if !video {
		return true
	}
	s.wantKey, s.why, s.resumed = true, dropStart, !paused && s.last >= 0
	if paused {
		s.leaveOut()
	}
	return true
}

// leaveOut empties the queue of pictures.
func (s *Sender) leaveOut() {
	s.queue = slices.DeleteFunc(s.queue, func(x item) bool {
		video := x.p.frame.Codec.Video()
		if video {
			s.queued -= x.p.bytes
		}
		return video
	})
	if s.video != nil {
		s.video.giveUp()
	}
}

// enter changes the level.
func (s *Sender) enter(l Level) {
	if s.level != l && s.last >= 0 {
		s.moves++
	}
	s.level, s.target = l, l
}

func (s *Sender) count(codec media.Codec, why drop) {
	d := s.dropped[codec]
	d[why]++
	s.dropped[codec] = d
}

func (s *Sender) dropVideo(why drop) {
	kept := s.queue[:0]
	for _, x := range s.queue {
		if x.p.frame.Codec.Video() {
			s.count(x.p.frame.Codec, why)
			s.queued -= x.p.bytes
			continue
		}
		kept = append(kept, x)
	}
	clear(s.queue[len(kept):])
	s.queue, s.wantKey, s.why = kept, true, why
	if s.video != nil {
		s.video.giveUp()
	}
}

func (s *Sender) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pop gives what is to be sent next. What a shard has sealed for this sender has left by then.
func (s *Sender) pop() (x item, ok bool) {
	x, left, ok := s.popBehind()
	if left != nil {
		left.written()
	}
	return x, ok
}

// popBehind is pop, and gives the shard in which packets of before may still wait to be written.
func (s *Sender) popBehind() (x item, left *shard, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left, s.left = s.left, nil
	switch {
	case s.begun.p != nil:
		x = item{p: s.begun.p, from: s.begun.from, pts: s.begun.pts}
		s.begun = part{}
		return x, left, true
	case len(s.queue) == 0:
		s.limit, s.catching = queueBytes, false
		return item{}, left, false
	}
	x = s.queue[0]
	s.queue[0] = item{}
	s.queue = s.queue[1:]
	s.queued -= x.p.bytes
	return x, left, true
}

// Run sends what is queued, until ctx is done or the connection takes no more. promote is asked whenever the queue is
// empty, and takes the sender into a shard if it can.
func (s *Sender) Run(ctx context.Context, promote func(*Sender)) error {
	defer s.Contain("sender")
	var own *wire.Arena
	due := time.Now()
	for {
		next, ok := s.pop()
		if !ok {
			promote(s)
			own = nil
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
				continue
			}
		}
		packets, rate, drained := s.pace(time.Now())
		if due.Before(drained) {
			due = drained
		}
		for from := next.from; from < len(next.p.payloads); from += packets {
			if !wait(ctx, &due) {
				return nil
			}
			x := part{next.p, next.pts, from, min(from+packets, len(next.p.payloads))}
			bits := float64(next.p.bytes * 8 * (x.to - x.from) / len(next.p.payloads))
			due = due.Add(time.Duration(bits / rate * float64(time.Second)))
			if own == nil {
				own = s.ownArena()
			}
			if err := s.send(x, own); err != nil {
				return err
			}
			if x.to < len(next.p.payloads) {
				if err := s.sendSound(own); err != nil {
					return err
				}
			}
			if own != nil {
				own.Flush()
			}
		}
		s.sent(next.p)
	}
}

// sendSound sends the sound that waits behind a large picture, between the picture's parts: through a narrow path such
// a picture takes seconds. Each track has numbers of its own.
func (s *Sender) sendSound(own *wire.Arena) error {
	for x, ok := s.popSound(); ok; x, ok = s.popSound() {
		if err := s.send(part{x.p, x.pts, 0, len(x.p.payloads)}, own); err != nil {
			return err
		}
		s.sent(x.p)
	}
	return nil
}

// popSound takes the first sound out of the queue.
func (s *Sender) popSound() (x item, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.queue, func(x item) bool { return !x.p.frame.Codec.Video() })
	if i < 0 {
		return item{}, false
	}
	x = s.queue[i]
	s.queue = slices.Delete(s.queue, i, i+1)
	s.queued -= x.p.bytes
	return x, true
}

// wait waits until its time has come, and brings a time that is past up to now. It reports whether ctx is still good.
func wait(ctx context.Context, due *time.Time) bool {
	left := time.Until(*due)
	if left < 0 {
		*due = time.Now()
	}
	if left < 2*partPause {
		return true // timers are not finer
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(left):
		return true
	}
}

// ownArena is an arena for this sender alone, or nil when its packets go through Pion.
func (s *Sender) ownArena() *wire.Arena {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.direct == nil {
		return nil
	}
	return wire.NewArena(2 * wire.PartPackets * 1200)
}

// send sends a part of a frame. With an arena it is only encrypted; the caller flushes.
func (s *Sender) send(x part, a *wire.Arena) error {
	t := s.tracks[x.p.frame.Codec]
	if t == nil || s.sealed(t, x, a) {
		return nil
	}
	return t.writePart(x)
}

// sealed encrypts a part of a frame, unless it goes through Pion. That is done under the lock: the cipher is for one at
// a time.
func (s *Sender) sealed(t *Track, x part, a *wire.Arena) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Guard.At("sender")
	now := time.Now()
	s.begins(x, now)
	if s.direct == nil || a == nil {
		return false
	}
	if t.sealPart(x, now, s.direct, a) {
		s.tell()
	}
	return true
}

// begins notes that a key frame is under way, before a wish for one can come in answer to it.
func (s *Sender) begins(x part, now time.Time) {
	if x.from == 0 && x.p.frame.Key {
		s.keyAt = now
		s.first.begins(x.p.number, now)
	}
}

// sent notes that a frame has been sent.
func (s *Sender) sent(p *packets) {
	if s.metered(p, time.Now()) {
		s.onFirst()
	}
}

// metered is meter, without the lock held.
func (s *Sender) metered(p *packets, now time.Time) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meter(p, now)
}

// meter counts a frame that has been sent, and reports whether it is the first key frame and somebody wants to know.
func (s *Sender) meter(p *packets, now time.Time) (first bool) {
	m := s.meters[p.frame.Codec]
	if first = p.frame.Key && m.KeyFrames == 0; p.frame.Key {
		s.keyAt = now
	}
	m.Add(now, p.frame.Key, p.bytes)
	return first && s.onFirst != nil
}

// Contain takes a panic in the work of a sender, which sends nothing from then on: a packet may be half written, and
// must not be encrypted under its number once more.
func (s *Sender) Contain(where string) {
	if s.Guard == nil {
		return
	}
	if v := recover(); v != nil {
		s.broken.Store(true)
		s.Guard.Caught(where, v)
	}
}

// Blame ends the connection of a sender for a panic that somebody else has recovered. A sender without a guard panics.
func (s *Sender) Blame(where string, fault any) {
	if s.Guard == nil {
		panic(fault)
	}
	s.broken.Store(true)
	s.Guard.Caught(where, fault)
}

// Has says whether a sender was made for a kind of media.
func (s *Sender) Has(kind webrtc.RTPCodecType) bool {
	for _, t := range s.tracks {
		if t.Kind() == kind {
			return true
		}
	}
	return false
}

// Sends says whether a sender has a track.
func (s *Sender) Sends(t *Track) bool { return s.tracks[t.Codec] == t }

// Alone says whether a sender has one track.
func (s *Sender) Alone() bool { return len(s.tracks) == 1 }

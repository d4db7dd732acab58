package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/internal/fault"
	"github.com/kvsagent/kvsagent/internal/outage"
	"github.com/kvsagent/kvsagent/internal/pulse"
)

// How long a running source may be silent. A source that sends seldom, such as one picture every ten seconds, has three
// times its own interval.
const (
	stalledAfter = 3 * time.Second  // shown as stalled
	restartAfter = 10 * time.Second // restarted
	restartMost  = time.Minute      // upper limit for slow sources
	// Connecting and the first frame may take longer. So may the second frame, since there is no interval before it.
	firstFrameIn = 20 * time.Second
)

// State is the state of a hub's source.
type State string

// The states of a source.
const (
	Idle     State = "idle"     // nobody is subscribed
	Starting State = "starting" // connecting, no frame yet
	Running  State = "running"
	Stalled  State = "stalled" // connected, but no frame for a while
	Failed   State = "failed"  // ended with an error; it will be retried
)

// HubOptions configures a hub. Source is required; zero values mean the defaults.
type HubOptions struct {
	Name     string
	Source   Source
	KeepWarm bool // run the source even when nobody subscribes
	// PTS zero for subscribers; default is when the source first starts. The hubs of one camera share one epoch.
	Epoch   time.Time
	Linger  time.Duration                    // how long the source runs after the last subscription; default 10 s
	Backoff func(failures int) time.Duration // the wait after the nth consecutive failure, n from 1
	Log     *slog.Logger

	// Standby makes the source that is shown while the real one is away, for the tracks that it had; there are none as
	// long as it has never answered. A nil func or a nil source shows nothing. The standby may change the size of the
	// picture, but not the codec, since viewers have negotiated that.
	Standby func(tracks []Track) Source
}

// Hub runs one source for all subscribers. It starts the source with the first subscription, stops it a while after the
// last, restarts it for ever when it fails, and passes each frame to every subscriber. PTS continues across restarts of
// the source.
type Hub struct {
	o    HubOptions
	wake chan struct{} // 1 slot: the wanted state may have changed
	beat *pulse.Pulse  // of Run

	mu       sync.Mutex // guards the fields below and the order of calls to subscribers
	sinks    []Sink
	unwanted time.Time // when the last subscriber left
	tracks   []Track   // of the source, also while it is away
	notes    []string  // of the current run
	standby  func()    // stops the standby; nil when there is none
	shown    []Track   // of the standby
	gop      gop
	epoch    time.Time     // PTS zero for subscribers
	base     time.Duration // of the current run: added to the source's PTS
	last     map[Codec]time.Duration
	answered bool // this run has announced its tracks
	started  bool // this run has produced a frame
	frameAt  time.Time
	pace     time.Duration // of the current run: the longest recent time between two frames; 0 before the second one
	state    State
	err      error
	restarts uint64
	keyAsked time.Time // when the source was last asked for a key frame
	meters   map[Codec]*Meter
	failures outage.Series // of the source, for the log
	stalls   outage.Series // likewise
}

// NewHub makes a hub; Run starts it.
func NewHub(o HubOptions) *Hub {
	if o.Linger == 0 {
		o.Linger = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Hub{
		o: o, wake: make(chan struct{}, 1), beat: pulse.New(), state: Idle, epoch: o.Epoch,
		last: map[Codec]time.Duration{}, meters: map[Codec]*Meter{},
	}
}

// Subscribe passes to sink the known tracks, the cached group of pictures and then every frame, until the returned
// function is called. The first video frame that sink gets is a key frame.
func (h *Hub) Subscribe(sink Sink) (unsubscribe func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	guard := &keyFirst{Sink: sink}
	if tracks := h.current(); len(tracks) > 0 {
		guard.Tracks(tracks)
	}
	if h.state == Running || h.standby != nil {
		for _, f := range h.gop.frames {
			guard.Write(f)
		}
	}
	h.sinks = append(h.sinks, guard)
	h.poke()
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sinks = slices.DeleteFunc(h.sinks, func(s Sink) bool { return s == guard })
		if len(h.sinks) == 0 {
			h.unwanted = time.Now()
		}
		h.poke()
	})
}

// current returns the tracks that subscribers get now. The caller holds the lock.
func (h *Hub) current() []Track {
	if h.standby != nil && len(h.shown) > 0 {
		return h.shown
	}
	return h.tracks
}

// keyFirst is a sink that passes no video before the first key frame.
type keyFirst struct {
	Sink
	seen bool
}

func (k *keyFirst) Write(f *Frame) {
	if f.Codec.Video() && !k.seen {
		if !f.Key {
			return
		}
		k.seen = true
	}
	k.Sink.Write(f)
}

func (h *Hub) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// wanted reports whether the source should run; if not, it returns for how much longer it may.
func (h *Hub) wanted() (bool, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.o.KeepWarm || len(h.sinks) > 0 {
		return true, 0
	}
	return false, max(0, h.o.Linger-time.Since(h.unwanted))
}

// keyEvery is the shortest time between two key frame requests to the source.
const keyEvery = 500 * time.Millisecond

// CanMakeKeyFrames reports whether the source makes key frames on request.
func (h *Hub) CanMakeKeyFrames() bool {
	return keyFramer(h.o.Source) != nil
}

// RequestKeyFrame asks the source for a key frame, if it can make one and was not asked just before. It reports whether
// it asked.
func (h *Hub) RequestKeyFrame() bool {
	source := keyFramer(h.o.Source)
	if source == nil {
		return false
	}
	h.mu.Lock()
	due := time.Since(h.keyAsked) >= keyEvery
	if due {
		h.keyAsked = time.Now()
	}
	h.mu.Unlock()
	if due {
		source.RequestKeyFrame()
	}
	return due
}

// Stuck says for how long the hub itself has not gone on; a source that delivers nothing is no reason for that. It must
// be called again and again while Run runs.
func (h *Hub) Stuck(now time.Time) time.Duration { return h.beat.Stuck(now) }

// Run supervises the source until ctx is done. It is called once.
func (h *Hub) Run(ctx context.Context) {
	failures, unanswered := 0, false
	away := func() {} // ends the standby
	defer func() { away() }()
	for ctx.Err() == nil {
		if ok, _ := h.wanted(); !ok {
			away()
			h.enter(Idle, nil)
			select {
			case <-ctx.Done():
			case <-h.wake:
			case <-h.beat.C:
			}
			continue
		}
		began := time.Now()
		err := h.runSource(ctx, func() {
			away()
			away = h.showStandby(ctx)
		})
		if ctx.Err() != nil || err == nil {
			failures = 0
			continue
		}
		if h.hasStarted() && time.Since(began) > time.Minute {
			failures = 0
		}
		if unanswered && !isAway(err) {
			// The camera answers, if only with an error, as one does that is starting. How long it was away no longer
			// matters.
			failures = 0
		}
		unanswered = isAway(err)
		failures++
		wait := h.backoff(failures, err)
		h.enter(Failed, err)
		h.logFailure(err, wait)
		if !h.onStandby() {
			away()
			away = h.showStandby(ctx)
		}
		h.beat.Wait(ctx, wait)
	}
	away()
	h.enter(Idle, nil)
}

// slow is implemented by errors after which a quick retry would do harm: a wrong password may lock the camera's
// account.
type slow interface{ Slow() bool }

// away is implemented by errors that say that nothing answered at all. Retrying costs nothing, and a camera that comes
// back should be seen at once.
type away interface{ Away() bool }

func isAway(err error) bool {
	var a away
	return errors.As(err, &a) && a.Away()
}

// awayWait is the longest wait for a camera that does not answer.
const awayWait = 2 * time.Second

func (h *Hub) backoff(failures int, err error) time.Duration {
	wait := time.Second
	if h.o.Backoff != nil {
		wait = h.o.Backoff(failures)
	}
	if isAway(err) {
		wait = min(wait, awayWait)
	}
	var s slow
	if errors.As(err, &s) && s.Slow() {
		wait = max(wait, min(30*time.Second<<min(failures-1, 4), 5*time.Minute))
	}
	return wait
}

// runSource runs the source once. It returns nil when the source is no longer wanted, and otherwise why it ended. It
// calls away when the source does not answer.
func (h *Hub) runSource(ctx context.Context, away func()) error {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.beginRun()
	ended := make(chan error, 1)
	go func() { ended <- h.contained(ctx) }()
	stop := func(why error) error {
		cancel()
		<-ended
		return why
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil && ctx.Err() == nil {
				err = errors.New("the source ended by itself")
			}
			return err
		case <-ctx.Done():
			return stop(nil)
		case <-h.wake:
		case <-tick.C:
		case <-h.beat.C:
		}
		if ok, linger := h.wanted(); !ok && linger == 0 {
			return stop(nil)
		}
		if h.unanswered(began) {
			away()
		}
		if err := h.checkProgress(); err != nil {
			return stop(err)
		}
	}
}

// contained runs the source. A panic in it is why it ended, and it is started again as after any failure.
func (h *Hub) contained(ctx context.Context) (err error) {
	defer fault.Contain(h.o.Log, "source "+h.o.Name, func(e error) { err = e })
	return h.o.Source.Run(ctx, (*hubSink)(h))
}

// deliver passes a frame to one subscriber. A panic in it costs it this frame, and the source and the others nothing.
func (h *Hub) deliver(sink Sink, f *Frame) {
	defer fault.Contain(h.o.Log, "subscriber of "+h.o.Name, nil)
	sink.Write(f)
}

func (h *Hub) beginRun() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch.IsZero() {
		h.epoch = time.Now()
	}
	if h.state == Failed { // and not because a viewer came
		h.restarts++
	}
	h.answered, h.started, h.frameAt, h.pace, h.notes = false, false, time.Now(), 0, nil
	if h.standby == nil {
		h.gop = gop{}
	}
	h.state = Starting
}

func (h *Hub) hasStarted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.started
}

func (h *Hub) checkProgress() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	silent := time.Since(h.frameAt)
	limit := min(max(restartAfter, 3*h.pace), restartMost)
	if h.pace == 0 {
		limit = firstFrameIn
	}
	if silent > limit {
		return fmt.Errorf("no frame for %v; hint: is the camera sending? starting it again", silent.Round(time.Second))
	}
	if h.started && silent > max(stalledAfter, 2*h.pace) && h.state == Running {
		h.state = Stalled
		if h.stalls.Failed(time.Now(), "stalled") {
			h.o.Log.Warn("source stalled", "source", h.o.Name, "silent", silent.Round(time.Second))
		}
	}
	if h.state == Running && h.stalls.Settled(time.Now()) {
		h.o.Log.Info("source goes on", "source", h.o.Name)
	}
	if h.started && h.failures.Settled(time.Now()) {
		h.logRunning()
	}
	return nil
}

func (h *Hub) enter(s State, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state, h.err = s, err
	if h.standby == nil {
		h.gop = gop{}
	}
}

// hubSink is the hub as its source sees it.
type hubSink Hub

func (s *hubSink) Tracks(tracks []Track) {
	h := (*Hub)(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tracks, h.answered = slices.Clone(tracks), true
	if h.standby == nil { // or else its pictures go on, perhaps in another codec
		h.tellTracks()
	}
}

// tellTracks tells subscribers the tracks of the source. The caller holds the lock.
func (h *Hub) tellTracks() {
	for _, sink := range h.sinks {
		sink.Tracks(h.tracks)
	}
}

// maxNotes limits the notes of one run.
const maxNotes = 8

func (s *hubSink) Note(text string) {
	h := (*Hub)(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.notes) < maxNotes && !slices.Contains(h.notes, text) {
		h.notes = append(h.notes, text)
	}
}

func (s *hubSink) Write(f *Frame) {
	h := (*Hub)(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if !h.started {
		h.startedAt(now, f)
	} else {
		h.pace = max(now.Sub(h.frameAt), h.pace*7/8, 1)
	}
	h.frameAt = now
	if h.state == Stalled {
		h.state = Running
		if h.stalls.Recovered(now) {
			h.o.Log.Info("source goes on", "source", h.o.Name)
		}
	}
	m := h.meters[f.Codec]
	if m == nil {
		m = &Meter{}
		h.meters[f.Codec] = m
	}
	m.Add(now, f.Key, f.Size())
	h.send(f, h.base)
}

// send passes a frame, shifted by base, to all subscribers. The caller holds the lock.
func (h *Hub) send(f *Frame, base time.Duration) {
	out := *f
	out.PTS = max(base+f.PTS, h.last[f.Codec])
	h.last[f.Codec] = out.PTS
	if f.Codec.Video() {
		h.gop.add(&out)
	}
	for _, sink := range h.sinks {
		h.deliver(sink, &out)
	}
}

// startedAt places a new run of the source on the subscribers' timeline: now, and after everything before.
func (h *Hub) startedAt(now time.Time, f *Frame) {
	h.started, h.state, h.err = true, Running, nil
	h.base = h.joint(now, f)
	if h.standby != nil {
		h.standby()
		h.standby, h.gop = nil, gop{}
		h.tellTracks()
	}
	if h.failures.Recovered(now) {
		h.logRunning()
	}
}

func (h *Hub) logRunning() {
	h.o.Log.Info("source running", "source", h.o.Name, "tracks", describe(h.tracks))
}

// logFailure logs a failure for a new reason, and once an hour that it lasts.
func (h *Hub) logFailure(err error, wait time.Duration) {
	h.mu.Lock()
	now := time.Now()
	due, tries, lasted := h.failures.Failed(now, err.Error()), h.failures.Tries(), h.failures.Lasted(now)
	h.mu.Unlock()
	if due {
		h.o.Log.Warn("source failed", "source", h.o.Name, "err", err, "tries", tries,
			"lasted", lasted.Round(time.Second), "retry", wait.Round(100*time.Millisecond))
	}
}

// joint returns the offset that places f, the first frame of a run, on the subscribers' timeline: now, and after
// everything before.
func (h *Hub) joint(now time.Time, f *Frame) time.Duration {
	base := now.Sub(h.epoch) - f.PTS
	for _, last := range h.last {
		base = max(base, last+time.Millisecond-f.PTS)
	}
	return base
}

// describe formats tracks, such as "H264 1280x720, opus".
func describe(tracks []Track) string {
	text := ""
	for i, t := range tracks {
		if i > 0 {
			text += ", "
		}
		text += string(t.Codec)
		if t.Width > 0 {
			text += fmt.Sprintf(" %dx%d", t.Width, t.Height)
		}
	}
	return text
}

// HubReport is a snapshot of a hub.
type HubReport struct {
	State    State
	Err      error
	Restarts uint64
	Watchers int
	Tracks   []TrackReport
	Notes    []string // what viewers miss, and why
}

// TrackReport is one track of a hub's source.
type TrackReport struct {
	Track
	Frames, KeyFrames, Bytes uint64
	FPS, Bitrate             float64 // over the last seconds
}

// Report returns the current state of the hub.
func (h *Hub) Report() HubReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := HubReport{State: h.state, Err: h.err, Restarts: h.restarts, Watchers: len(h.sinks),
		Notes: slices.Clone(h.notes)}
	for _, t := range h.tracks {
		tr := TrackReport{Track: t}
		if m := h.meters[t.Codec]; m != nil {
			tr.Frames, tr.KeyFrames, tr.Bytes = m.Frames, m.KeyFrames, m.Bytes
			tr.FPS, tr.Bitrate = m.Rates(time.Now())
		}
		r.Tracks = append(r.Tracks, tr)
	}
	return r
}

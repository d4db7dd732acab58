package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// How long a running source may be silent. One that sends seldom, such as a picture each ten seconds, has three times
// its own pace.
const (
	stalledAfter = 3 * time.Second  // shown as stalled
	restartAfter = 10 * time.Second // started anew
	restartMost  = time.Minute      // at any pace
	// Connecting and the first frame may take longer, and so may the second, before which there is no pace.
	firstFrameIn = 20 * time.Second
)

// State is what a hub's source does now.
type State string

// The states of a source.
const (
	Idle     State = "idle"     // nobody wants it
	Starting State = "starting" // connecting, no frame yet
	Running  State = "running"
	Stalled  State = "stalled" // connected, but no frame for a while
	Failed   State = "failed"  // ended with an error; it will be tried again
)

// HubOptions says what a hub serves. Source is required; zero values mean the defaults.
type HubOptions struct {
	Name     string
	Source   Source
	KeepWarm bool // run the source even when nobody subscribes
	// PTS zero of what subscribers see; default is when the source first starts. Hubs of one camera share one.
	Epoch   time.Time
	Linger  time.Duration                    // how long the source goes on after the last subscription; default 10 s
	Backoff func(failures int) time.Duration // how long to wait after the nth failure in a row, n from 1
	Log     *slog.Logger

	// Standby makes what is shown while the source is away, for tracks that it had when it was there; nil, and a nil
	// source, is nothing. It may change the size of the picture, but not the codec, since viewers have negotiated that.
	Standby func(tracks []Track) Source
}

// Hub runs one source for all who want it: it starts it with the first subscription, stops it a while after the last,
// starts it again for ever when it fails, and hands each frame to every subscriber. Across restarts of the source time
// goes on.
type Hub struct {
	o    HubOptions
	wake chan struct{} // 1 slot: the wish may have changed

	mu       sync.Mutex // guards the fields below and the order of what subscribers get
	sinks    []Sink
	unwanted time.Time // when the last subscriber left
	tracks   []Track   // of the source, also while it is away
	notes    []string  // of the source's present run
	standby  func()    // tells the standby to stop; nil when there is none
	gop      gop
	epoch    time.Time     // PTS zero of what subscribers see
	ran      bool          // the source has been started before
	base     time.Duration // of the present run of the source: what is added to its PTS
	last     map[Codec]time.Duration
	started  bool // this run has given a frame
	frameAt  time.Time
	pace     time.Duration // of the present run: the longest time between two frames of late; 0 before the second one
	state    State
	err      error
	restarts uint64
	keyAsked time.Time // when the source was last asked for a key frame
	meters   map[Codec]*Meter
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
		o: o, wake: make(chan struct{}, 1), state: Idle, epoch: o.Epoch,
		last: map[Codec]time.Duration{}, meters: map[Codec]*Meter{},
	}
}

// Subscribe hands sink the tracks known so far, the cached group of pictures and then every frame, until the returned
// function is called. The first video frame that sink gets is a key frame.
func (h *Hub) Subscribe(sink Sink) (unsubscribe func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	guard := &keyFirst{Sink: sink}
	if len(h.tracks) > 0 {
		guard.Tracks(h.tracks)
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

// keyFirst is a sink that sees no video before the first key frame.
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

// wanted reports whether the source should run, and else for how much longer it may.
func (h *Hub) wanted() (bool, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.o.KeepWarm || len(h.sinks) > 0 {
		return true, 0
	}
	return false, max(0, h.o.Linger-time.Since(h.unwanted))
}

// keyEvery is how often the source is asked for a key frame, whoever wants one.
const keyEvery = 500 * time.Millisecond

// CanMakeKeyFrames reports whether the source makes a key frame when it is asked to.
func (h *Hub) CanMakeKeyFrames() bool {
	return keyFramer(h.o.Source) != nil
}

// RequestKeyFrame asks the source for a key frame, if it is one that can make one, and not too often.
func (h *Hub) RequestKeyFrame() {
	source := keyFramer(h.o.Source)
	if source == nil {
		return
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
}

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
			}
			continue
		}
		began := time.Now()
		err := h.runSource(ctx)
		if ctx.Err() != nil || err == nil {
			failures = 0
			continue
		}
		if h.hasStarted() && time.Since(began) > time.Minute {
			failures = 0
		}
		if unanswered && !isAway(err) {
			// It answers, if only with an error, as cameras do that start: how long it was away says nothing of that.
			failures = 0
		}
		unanswered = isAway(err)
		failures++
		wait := h.backoff(failures, err)
		h.enter(Failed, err)
		h.o.Log.Warn("source failed", "source", h.o.Name, "err", err, "retry_in", wait.Round(100*time.Millisecond))
		if !h.onStandby() {
			away()
			away = h.showStandby(ctx)
		}
		sleep(ctx, wait)
	}
	away()
	h.enter(Idle, nil)
}

// slow is what an error says of itself when a quick retry would do harm: a wrong password may lock the camera's
// account.
type slow interface{ Slow() bool }

// away is what an error says of itself when nothing answered at all: asking again costs nobody anything, and a camera
// that comes back is to be seen at once.
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

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// runSource runs the source once. It returns nil when the source is no longer wanted, and else why it ended.
func (h *Hub) runSource(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.beginRun()
	ended := make(chan error, 1)
	go func() { ended <- h.o.Source.Run(ctx, (*hubSink)(h)) }()
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
		}
		if ok, linger := h.wanted(); !ok && linger == 0 {
			return stop(nil)
		}
		if err := h.checkProgress(); err != nil {
			return stop(err)
		}
	}
}

func (h *Hub) beginRun() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch.IsZero() {
		h.epoch = time.Now()
	}
	if h.ran {
		h.restarts++
	}
	h.ran = true
	h.started, h.frameAt, h.pace, h.notes = false, time.Now(), 0, nil
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
		h.o.Log.Warn("source stalled", "source", h.o.Name, "silent", silent.Round(time.Second))
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
	h.tracks = slices.Clone(tracks)
	for _, sink := range h.sinks {
		sink.Tracks(h.tracks)
	}
}

// maxNotes limits what one run may say.
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
		h.o.Log.Info("source goes on", "source", h.o.Name)
	}
	m := h.meters[f.Codec]
	if m == nil {
		m = &Meter{}
		h.meters[f.Codec] = m
	}
	m.Add(now, f.Key, f.Size())
	h.send(f, h.base)
}

// send hands a frame, moved by base, to all subscribers, with the lock held.
func (h *Hub) send(f *Frame, base time.Duration) {
	out := *f
	out.PTS = max(base+f.PTS, h.last[f.Codec])
	h.last[f.Codec] = out.PTS
	if f.Codec.Video() {
		h.gop.add(&out)
	}
	for _, sink := range h.sinks {
		sink.Write(&out)
	}
}

// startedAt places a new run of the source on the subscribers' time line: now, and after all that went before.
func (h *Hub) startedAt(now time.Time, f *Frame) {
	h.started, h.state, h.err = true, Running, nil
	h.base = h.joint(now, f)
	if h.standby != nil {
		h.standby()
		h.standby, h.gop = nil, gop{}
	}
	h.o.Log.Info("source running", "source", h.o.Name, "tracks", describe(h.tracks))
}

// joint returns what places f, the first of a run, on the subscribers' time line: now, and after all that went before.
func (h *Hub) joint(now time.Time, f *Frame) time.Duration {
	base := now.Sub(h.epoch) - f.PTS
	for _, last := range h.last {
		base = max(base, last+time.Millisecond-f.PTS)
	}
	return base
}

// describe puts tracks into words: "H264 1280x720, opus".
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

// HubReport is a hub at one moment.
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

// Report returns what the hub does now.
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

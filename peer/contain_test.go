package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// metronome is a camera of small numbered pictures, a key frame first and then each second.
type metronome struct{ every time.Duration }

func (m metronome) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264}})
	began := time.Now()
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for n := uint32(0); ; n++ {
		f := fanout.deltaFrame(media.H264, time.Since(began))
		if n%uint32(time.Second/m.every) == 0 {
			f = fanout.keyFrame(media.H264, f.PTS)
		}
		last := len(f.Data) - 1
		f.Data[last] = binary.BigEndian.AppendUint32(f.Data[last], n)
		out.Write(f)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// witness takes the pictures of metronome, and notes when one is left out.
type witness struct {
	mu     sync.Mutex // guards the fields below
	frames int
	last   uint32
	gaps   int
	panics bool
}

func (w *witness) Tracks([]media.Track) {}

func (w *witness) Write(f *media.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.panics {
		panic("injected")
	}
	unit := f.Data[len(f.Data)-1]
	n := binary.BigEndian.Uint32(unit[len(unit)-4:])
	if w.frames > 0 && n > w.last+1 {
		w.gaps++
	}
	w.frames++
	w.last = max(w.last, n)
}

func (w *witness) seen() (frames, gaps int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.frames, w.gaps
}

func (w *witness) waits(t *testing.T, n int) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if frames, _ := w.seen(); frames >= n {
			return
		}
		if time.Now().After(until) {
			frames, _ := w.seen()
			t.Fatalf("%d pictures, want %d", frames, n)
		}
	}
}

// session is a viewer and our side of its connection, on real sockets.
type session struct {
	master, viewer *Conn
	got            *witness
	ended          chan error // of the master
	viewerEnded    chan error
	stop           func()
}

// watch begins a session. prepare may change our sides before they run.
func watch(t *testing.T, masters, viewers *Engine, b *fanout.Broadcast, log *slog.Logger, prepare func(*session)) *session {
	t.Helper()
	s := &session{got: &witness{}, ended: make(chan error, 1), viewerEnded: make(chan error, 1)}
	var err error
	if s.master, err = New(Config{Engine: masters, Broadcast: b, Log: log, Send: func(x Signal) { s.viewer.Handle(x) }}); err != nil {
		t.Fatal(err)
	}
	if s.viewer, err = New(Config{Engine: viewers, Receive: true, Offer: true, Sink: s.got, Log: log, Send: func(x Signal) { s.master.Handle(x) }}); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.ended <- s.master.Run(ctx) })
	running.Go(func() { s.viewerEnded <- s.viewer.Run(ctx) })
	s.stop = func() { cancel(); running.Wait() }
	t.Cleanup(s.stop)
	return s
}

func loopback(t *testing.T) *Engine {
	t.Helper()
	e, err := NewEngine(EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func running(t *testing.T, source media.Source) *fanout.Broadcast {
	t.Helper()
	hub := media.NewHub(media.HubOptions{Source: source})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { hub.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return fanout.NewBroadcast(hub, nil)
}

// logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestAPanicEndsOneConnection makes each part of the work for one viewer panic, beside a viewer that must not lose a picture.
func TestAPanicEndsOneConnection(t *testing.T) {
	masters := loopback(t)
	b := running(t, metronome{20 * time.Millisecond})
	honest := watch(t, masters, loopback(t), b, nil, nil)
	honest.got.waits(t, 10)
	for _, tt := range []struct {
		where   string         // the guard's name for it
		or      string         // or this, depending on where the viewer is; "" is no other
		viewer  bool           // it is the viewer's side that panics
		prepare func(*session) // before it runs; nil: the guard's own hook panics from the beginning
		then    func(*session) // once it plays; nil: nothing
	}{
		{where: "negotiation", prepare: func(s *session) { s.master.o.OnConnected = func() { panic("injected") } }},
		{where: "candidates", prepare: func(s *session) {
			send := s.master.out.send
			s.master.out.send = func(x Signal) {
				if _, ok := x.(Candidate); ok {
					panic("injected")
				}
				send(x)
			}
		}},
		{where: "sender"},
		{where: "queue"},
		{where: "shard"},
		{where: "report loop"},
		{where: "rtcp reader"},
		{where: "socket reader"},
		{where: "feedback"},
		{where: "socket", prepare: func(*session) {}, then: func(s *session) {
			for _, x := range s.master.outgoing.all() {
				x.mu.Lock()
				x.direct = &wire.Direct{Cipher: x.direct.Cipher, To: x.direct.To, Owner: x.Sender} // without a socket
				x.mu.Unlock()
			}
		}},
		{where: "shard", or: "sender", prepare: func(*session) {}, then: func(s *session) {
			for _, x := range s.master.outgoing.all() {
				x.mu.Lock()
				x.direct = &wire.Direct{Out: x.direct.Out, To: x.direct.To, Owner: x.Sender} // without a cipher
				x.mu.Unlock()
			}
		}},
		{where: "receiver", viewer: true, prepare: func(s *session) { s.got.panics = true }},
	} {
		t.Run(tt.where, func(t *testing.T) {
			log := &logbook{}
			prepare := tt.prepare
			if prepare == nil {
				prepare = func(s *session) {
					s.master.guard.inject = func(where string) {
						if where == tt.where {
							panic("injected")
						}
					}
				}
			}
			engine, viewers := masters, loopback(t)
			if tt.viewer {
				engine = viewers
			}
			before, panics := honest.master.Report().Sending[0].Frames, engine.Panics()
			s := watch(t, masters, viewers, b, slog.New(slog.NewTextHandler(log, nil)), prepare)
			if tt.then != nil {
				s.got.waits(t, 10)
				tt.then(s)
			}
			ended, conn := s.ended, s.master
			if tt.viewer {
				ended, conn = s.viewerEnded, s.viewer
			}
			if tt.where == "queue" {
				for s.master.guard.Reason() == nil { // whoever is up to live has left the queue
					for _, x := range s.master.outgoing.all() {
						b.Demote(x.Sender)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			select {
			case err := <-ended:
				var fault *contain.PanicError
				if !errors.As(err, &fault) || fault.Where != tt.where && fault.Where != tt.or {
					t.Errorf("the connection ended with %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the connection goes on")
			}
			_ = conn.Report() // which takes all locks that there are
			if n := engine.Panics() - panics; n == 0 {
				t.Error("the engine counts no panic")
			}
			if n := strings.Count(log.String(), " stack="); n != 1 {
				t.Errorf("%d stacks in the log, want 1:\n%s", n, log.String())
			}
			if strings.Contains(log.String(), "hangs") {
				t.Errorf("the end of the connection was not clean: %s", log.String())
			}
			s.stop()
			frames, _ := honest.got.seen()
			honest.got.waits(t, frames+10)
			if sent := honest.master.Report().Sending[0].Frames; sent <= before {
				t.Errorf("the honest viewer has been sent %d pictures, and %d before", sent, before)
			}
		})
	}
	if frames, gaps := honest.got.seen(); gaps != 0 {
		t.Errorf("the honest viewer missed pictures %d times in %d", gaps, frames)
	}
	if r := honest.viewer.Report(); r.Receiving[0].Lost != 0 {
		t.Errorf("the honest viewer lost %d packets", r.Receiving[0].Lost)
	}
	select {
	case err := <-honest.ended:
		t.Errorf("the honest viewer's connection ended: %v", err)
	default:
	}
}

// TestCallbacksContainAPanic calls what Pion calls from goroutines of its own, with what makes it panic.
func TestCallbacksContainAPanic(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(*contain.Guard)
	}{
		{"media from the socket", func(g *contain.Guard) {
			_, _ = transport.rtpBuffer{transport.plainBuffer{nil}, &transport.Inbound{guard: g, Receive: true}}.Write(nil)
		}},
		{"reports from the socket", func(g *contain.Guard) {
			_, _ = transport.rtcpBuffer{transport.plainBuffer{nil}, &transport.Inbound{guard: g, limits: (transport.Limits{}).Filled()}}.Write(nil)
		}},
		{"a report that is taken from the socket", func(g *contain.Guard) {
			(&transport.RTCPFastPath{in: &transport.Inbound{guard: g}, open: &wire.SRTCPOpener{}}).take(bytes.Repeat([]byte{0xff}, 100), nil)
		}},
		{"a data channel", func(g *contain.Guard) {
			(&transport.Inbound{guard: g, limits: (transport.Limits{}).Filled()}).Channel(nil)
		}},
		{"an open data channel", func(g *contain.Guard) { (&transport.Inbound{guard: g}).opened(nil) }},
		{"the DTLS handshake", func(g *contain.Guard) { (&transport.SRTPKeys{guard: g}).learn(nil) }},
		{"a stream from a TURN server", func(g *contain.Guard) { _, _ = (&transport.turnStream{guard: g}).Read(nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Uint64
			g := &contain.Guard{Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: &n}
			tt.call(g)
			if n.Load() != 1 || g.Reason() == nil {
				t.Errorf("%d panics were counted, and the connection ends with %v", n.Load(), g.Reason())
			}
		})
	}
}

// TestABrokenSenderSendsNothing: after a panic in the middle of a frame, no packet may be encrypted under its number once more.
func TestABrokenSenderSendsNothing(t *testing.T) {
	var n atomic.Uint64
	v := fanout.newViewer(t, nil, 100)
	v.s.Guard = &contain.Guard{Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: &n}
	p, err := (&fanout.packetiser{}).packetise(fanout.keyFrame(media.H264, 0))
	if err != nil {
		t.Fatal(err)
	}
	p.number = 1
	v.s.joinShard(1)
	whole := v.s.direct.Cipher
	v.s.direct.Cipher = nil
	a := wire.NewArena(wire.ArenaBytes)
	v.s.sendShared(p, 0, len(p.payloads), time.Now(), a)
	v.s.direct.Cipher = whole
	next := *p
	next.number = 2
	v.s.sendShared(&next, 0, len(next.payloads), time.Now(), a)
	v.s.open = fanout.part{p: p, to: len(p.payloads)}
	v.s.leaveShard(nil, []*fanout.packets{&next})
	if n.Load() != 1 || len(a.runs) != 0 || len(v.s.queue) != 0 {
		t.Errorf("%d panics, %d runs to send and %d frames in the queue after the first", n.Load(), len(a.runs), len(v.s.queue))
	}
}

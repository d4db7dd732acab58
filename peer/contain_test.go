package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
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
		f := deltaFrame(time.Since(began))
		if n%uint32(time.Second/m.every) == 0 {
			f = keyFrame(media.H264, f.PTS)
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

// keyFrame is a small picture that needs no other.
func keyFrame(codec media.Codec, pts time.Duration) *media.Frame {
	f := &media.Frame{Codec: codec, Key: true, PTS: pts, Captured: time.Now()}
	switch codec {
	case media.H264:
		f.Data = [][]byte{{0x67, 0x42, 0xe0, 0x1f}, {0x68, 0xce}, {0x65, 1, 2, 3, 4}}
	default:
		f.Data = [][]byte{{0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0, 1, 2, 3}}
	}
	return f
}

// deltaFrame is one that needs those before it, in H.264.
func deltaFrame(pts time.Duration) *media.Frame {
	return &media.Frame{Codec: media.H264, PTS: pts, Captured: time.Now(), Data: [][]byte{{0x41, 1, 2, 3, 4}}}
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
func watch(t *testing.T, masters, viewers *Engine, b *fanout.Broadcast, log *slog.Logger,
	prepare func(*session)) *session {
	t.Helper()
	s := &session{got: &witness{}, ended: make(chan error, 1), viewerEnded: make(chan error, 1)}
	var err error
	if s.master, err = New(Config{Engine: masters, Broadcast: b, Log: log,
		Send: func(x Signal) { s.viewer.Handle(x) }}); err != nil {
		t.Fatal(err)
	}
	if s.viewer, err = New(Config{Engine: viewers, Receive: true, Offer: true, Sink: s.got, Log: log,
		Send: func(x Signal) { s.master.Handle(x) }}); err != nil {
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

// TestAPanicEndsOneConnection makes each part of the work for one viewer panic, beside a viewer that must not lose a
// picture.
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
		{where: "shard"},
		{where: "report loop"},
		{where: "rtcp reader"},
		{where: "socket reader"},
		{where: "feedback"},
		{where: "socket", prepare: func(*session) {}, then: func(s *session) {
			l := s.master.current()
			_, to := l.sockets.Straight(l.pair())
			for _, x := range s.master.outgoing.all() {
				x.SetDirect(&wire.Direct{Cipher: l.route.cipher, To: to}) // without a socket
			}
		}},
		{where: "shard", or: "sender", prepare: func(*session) {}, then: func(s *session) {
			l := s.master.current()
			out, to := l.sockets.Straight(l.pair())
			for _, x := range s.master.outgoing.all() {
				x.SetDirect(&wire.Direct{Out: out, To: to}) // without a cipher
			}
		}},
		{where: "receiver", viewer: true, prepare: func(s *session) { s.got.panics = true }},
	} {
		t.Run(tt.where, func(t *testing.T) {
			log := &logbook{}
			prepare := tt.prepare
			if prepare == nil {
				prepare = func(s *session) {
					s.master.guard.Inject = func(where string) {
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

package rig

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
)

// LiveCamera is a camera whose every picture is known: it plays clips over RTSP, side by side and in step, each under a
// path of its own. Picture n leaves it at begin plus n ticks.
type LiveCamera struct {
	Address string // host:port

	Begin  time.Time
	server gortsplib.Server
	Paths  map[string]*livePath // not changed after the start

	mu sync.Mutex // guards what changes in paths
}

// livePath is one of its streams.
type livePath struct {
	Clip    *Reel
	stream  *gortsplib.ServerStream
	medium  *description.Media
	packets func(unit [][]byte) ([]*rtp.Packet, error)

	sessions int // that play it now; guarded by live.mu, as is heard
	heard    []func(unit [][]byte)
}

// StartLive plays the clips of the paths until the test ends.
func StartLive(t testing.TB, paths map[string]*Reel) *LiveCamera {
	t.Helper()
	l := &LiveCamera{Address: FreeAddress(t), Paths: map[string]*livePath{}}
	l.server = gortsplib.Server{Handler: l, RTSPAddress: l.Address, WriteQueueSize: 4096}
	if err := l.server.Start(); err != nil {
		t.Fatalf("live camera: %v", err)
	}
	t.Cleanup(l.server.Close)
	for path, c := range paths {
		p, err := newLivePath(&l.server, c)
		if err != nil {
			t.Fatalf("live camera: %s: %v", path, err)
		}
		l.Paths[path] = p
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	l.Begin = time.Now()
	go func() {
		defer close(done)
		l.play(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

func newLivePath(server *gortsplib.Server, c *Reel) (*livePath, error) {
	p := &livePath{Clip: c}
	var f format.Format
	if c.Codec == "VP8" {
		vp8 := &format.VP8{PayloadTyp: 96}
		e, err := vp8.CreateEncoder()
		if err != nil {
			return nil, err
		}
		f, p.packets = vp8, func(unit [][]byte) ([]*rtp.Packet, error) { return e.Encode(unit[0]) }
	} else {
		avc := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: c.sps, PPS: c.pps}
		e, err := avc.CreateEncoder()
		if err != nil {
			return nil, err
		}
		f, p.packets = avc, e.Encode
	}
	p.medium = &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{f}}
	p.stream = &gortsplib.ServerStream{Server: server,
		Desc: &description.Session{Medias: []*description.Media{p.medium}}}
	return p, p.stream.Initialize()
}

// URL is where a path is.
func (l *LiveCamera) URL(path string) string { return "rtsp://" + l.Address + "/" + path }

// hear calls f with each picture of the path from now on, from the camera's goroutine.
func (l *LiveCamera) hear(path string, f func(unit [][]byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Paths[path].heard = append(l.Paths[path].heard, f)
}

// play sends picture after picture. One that is late comes at once.
func (l *LiveCamera) play(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		timer.Reset(time.Until(l.Begin.Add(time.Duration(n) * ReelTick)))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for _, p := range l.Paths {
			p.send(n)
			l.mu.Lock()
			heard := p.heard
			l.mu.Unlock()
			for _, f := range heard {
				f(p.Clip.units[n%ReelFrames])
			}
		}
	}
}

func (p *livePath) send(n int) {
	packets, err := p.packets(p.Clip.units[n%ReelFrames])
	if err != nil {
		return // the clip was read by the same library
	}
	for _, packet := range packets {
		packet.Timestamp = uint32(n * 90000 / ReelFPS)
		_ = p.stream.WritePacketRTP(p.medium, packet) // fails only while closing
	}
}

// find is the path of a URL, which may have the name of a track at its end.
func (l *LiveCamera) find(path string) *livePath {
	name, _, _ := strings.Cut(strings.Trim(path, "/"), "/")
	return l.Paths[name]
}

// OnDescribe serves everybody.
func (l *LiveCamera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream,
	error) {
	p := l.find(ctx.Path)
	if p == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, p.stream, nil
}

// OnSetup likewise.
func (l *LiveCamera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	p := l.find(ctx.Path)
	if p == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, p.stream, nil
}

// OnPlay counts who watches.
func (l *LiveCamera) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	if p := l.find(ctx.Path); p != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		ctx.Session.SetUserData(p)
		p.sessions++
	}
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnSessionClose forgets one.
func (l *LiveCamera) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, ok := ctx.Session.UserData().(*livePath); ok {
		p.sessions--
	}
}

// Players is how many sessions play a path now.
func (l *LiveCamera) Players(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Paths[path].sessions
}

// Holds waits until that many sessions play a path of the camera.
func (l *LiveCamera) Holds(t testing.TB, limit time.Duration, path string, want int) {
	t.Helper()
	Eventually(t, limit, fmt.Sprintf("%d sessions play %s", want, path),
		func() (bool, any) { n := l.Players(path); return n == want, n })
}

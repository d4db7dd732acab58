package rig

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"
)

// FakeCamera is an RTSP camera with switches to misbehave. It sends H.264, and G.711 when it has sound. Make it with
// NewFakeCamera.
type FakeCamera struct {
	t              testing.TB
	Address        string
	User, Password string // nobody has to log in when they are empty
	Bare           bool   // no parameter sets in its SDP
	Sound          bool
	Group          netip.Prefix // multicast groups that it sends to whom asks for one; none when it is not valid

	Mu     sync.Mutex // guards the fields below
	Clip   Clip
	does   Switches
	plays  int                  // sessions that came as far as PLAY
	Logins int                  // requests with a login
	Ways   []gortsplib.Protocol // of each track that was set up
	conns  []*fakeConn
	stop   func() // nil while it is off
	stream *gortsplib.ServerStream
}

// Switches are what a FakeCamera does wrong. The zero value is a good camera.
type Switches struct {
	Silent bool // it stays connected and sends nothing
	// What is connected now hears nothing of it any more, and it hears nothing.
	Hole    bool
	Mute    bool                                                     // no sound comes
	Every   time.Duration                                            // from one picture to the next; 0 is 40 ms
	Clip    Clip                                                     // sent instead of its own
	Clock   func(n int) uint32                                       // RTP time of the nth picture
	Packets func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet // sent instead of those of the nth picture
	Skip    uint16                                                   // added to the sequence numbers from now on
	SSRC    byte                                                     // added to it
}

// NewFakeCamera makes a camera, which is on, unless fit says something else about it.
func NewFakeCamera(t testing.TB, c Clip, fit func(*FakeCamera)) *FakeCamera {
	t.Helper()
	cam := &FakeCamera{t: t, Address: FreeAddress(t), Clip: c}
	if fit != nil {
		fit(cam)
	}
	cam.On()
	t.Cleanup(cam.Off)
	return cam
}

// URL is where the picture is, without user and password.
func (c *FakeCamera) URL() string { return "rtsp://" + c.Address + "/main" }

// Set flips switches.
func (c *FakeCamera) Set(flip func(*Switches)) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	hole := c.does.Hole
	flip(&c.does)
	if c.does.Hole && !hole {
		for _, conn := range c.conns {
			conn.hole.Store(true)
		}
	}
}

func (c *FakeCamera) now() Switches {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return c.does
}

// Sessions is how often it was asked to play.
func (c *FakeCamera) Sessions() int {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return c.plays
}

// On starts the camera.
func (c *FakeCamera) On() {
	c.t.Helper()
	sps, pps := c.Clip.sets()
	if c.Bare {
		sps, pps = nil, nil
	}
	video := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: pps}
	medias := []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{video}}}
	if c.Sound {
		medias = append(medias, &description.Media{Type: description.MediaTypeAudio,
			Formats: []format.Format{&format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1}}})
	}
	server := &gortsplib.Server{Handler: c, RTSPAddress: c.Address, Listen: c.listen, WriteQueueSize: 1 << 14}
	if c.Group.IsValid() {
		server.MulticastIPRange, server.MulticastRTPPort, server.MulticastRTCPPort = c.Group.String(), 5004, 5005
	}
	if err := server.Start(); err != nil {
		c.t.Fatal(err)
	}
	stream := &gortsplib.ServerStream{Server: server, Desc: &description.Session{Medias: medias}}
	if err := stream.Initialize(); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.feed(ctx, stream, video, medias) })
	c.Mu.Lock()
	defer c.Mu.Unlock()
	c.stream = stream
	c.stop = func() {
		cancel()
		wg.Wait()
		stream.Close()
		server.Close()
	}
}

// Off pulls its plug: connections are reset, and new ones refused.
func (c *FakeCamera) Off() {
	c.Mu.Lock()
	stop := c.stop
	c.stop, c.stream = nil, nil
	for _, conn := range c.conns {
		_ = conn.Conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Conn.Close()
	}
	c.conns = nil
	c.Mu.Unlock()
	if stop != nil {
		stop()
	}
}

// feed sends pictures, and two packets of sound of 20 ms with each.
func (c *FakeCamera) feed(ctx context.Context, stream *gortsplib.ServerStream, video *format.H264,
	medias []*description.Media) {
	encoder, err := video.CreateEncoder()
	if err != nil {
		c.t.Error(err)
		return
	}
	next := time.NewTimer(0)
	defer next.Stop()
	due := time.Now()
	for n, number := 0, uint16(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		c.Mu.Lock()
		does, pictures := c.does, c.Clip
		c.Mu.Unlock()
		every := does.Every
		if every == 0 {
			every = 40 * time.Millisecond
		}
		due = due.Add(every)
		next.Reset(time.Until(due))
		if does.Silent {
			continue
		}
		if does.Clip != nil {
			pictures = does.Clip
		}
		au := pictures[n%len(pictures)]
		ts := uint32(time.Duration(n) * every * 9 / 100_000)
		if does.Clock != nil {
			ts = does.Clock(n)
		}
		packets, err := encoder.Encode(au)
		if err != nil {
			c.t.Error(err)
			return
		}
		for _, p := range packets {
			p.Timestamp = ts
		}
		if does.Packets != nil {
			packets = does.Packets(n, ts, packets)
		}
		for _, p := range packets {
			p.SequenceNumber = number + does.Skip
			number++
			_ = stream.WritePacketRTP(medias[0], p) // fails only while closing
		}
		for i := 2 * n; c.Sound && !does.Mute && i < 2*n+2; i++ {
			_ = stream.WritePacketRTP(medias[1], &rtp.Packet{
				Header:  rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 160, Marker: i == 0},
				Payload: bytes.Repeat([]byte{0xff}, 160),
			})
		}
	}
}

// OnDescribe is where a login is wanted.
func (c *FakeCamera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream,
	error) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	if ctx.Request.Header["Authorization"] != nil {
		c.Logins++
	}
	switch {
	case c.stream == nil:
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	case c.User != "" && !ctx.Conn.VerifyCredentials(ctx.Request, c.User, c.Password):
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnSetup gives whatever is asked for.
func (c *FakeCamera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	c.Ways = append(c.Ways, ctx.Transport.Protocol)
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnPlay counts.
func (c *FakeCamera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	c.plays++
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnStreamWriteError is told of a reader that does not read.
func (c *FakeCamera) OnStreamWriteError(*gortsplib.ServerHandlerOnStreamWriteErrorCtx) {}

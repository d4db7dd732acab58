package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/internal/h264"
)

// clip is what a camera sends over and over: access units of H.264.
type clip [][][]byte

// encodeClip lets x264 make two seconds of pictures, 25 a second, with a key frame each second unless args say otherwise.
func encodeClip(t *testing.T, args ...string) clip {
	t.Helper()
	line := append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-c:v", "libx264", "-preset", "ultrafast",
		"-pix_fmt", "yuv420p", "-bf", "0", "-g", "25"}, args...)
	out, err := exec.Command("ffmpeg", append(line, "-bsf:v", "h264_metadata=aud=insert", "-f", "h264", "-")...).Output()
	if err != nil {
		t.Fatalf("ffmpeg %v: %v", args, err)
	}
	var c clip
	for r := h264.NewReader(bytes.NewReader(out)); ; {
		au, err := r.Next()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		c = append(c, au)
	}
}

// without is the clip without the NAL units of some types.
func (c clip) without(kinds ...byte) clip {
	var out clip
	for _, au := range c {
		au = slices.DeleteFunc(slices.Clone(au), func(nal []byte) bool { return slices.Contains(kinds, nal[0]&0x1f) })
		out = append(out, au)
	}
	return out
}

// sets are the parameter sets of the clip.
func (c clip) sets() (sps, pps []byte) {
	var p h264.Params
	p.Set(c[0]...)
	p.Settle()
	return p.SPS(), p.PPS()
}

// switches are what a fakeCamera does wrong. The zero value is a good camera.
type switches struct {
	Silent  bool                                                     // it stays connected and sends nothing
	Hole    bool                                                     // what is connected now hears nothing of it any more, and it hears nothing
	Mute    bool                                                     // no sound comes
	Every   time.Duration                                            // from one picture to the next; 0 is 40 ms
	Clip    clip                                                     // sent instead of its own
	Clock   func(n int) uint32                                       // RTP time of the nth picture
	Packets func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet // sent instead of those of the nth picture
	Skip    uint16                                                   // added to the sequence numbers from now on
	SSRC    byte                                                     // added to it
}

// fakeCamera is an RTSP camera with switches to misbehave. It sends H.264, and G.711 when it has sound. Make it with newFakeCamera.
type fakeCamera struct {
	t              *testing.T
	Address        string
	User, Password string // nobody has to log in when they are empty
	bare           bool   // no parameter sets in its SDP
	sound          bool
	group          netip.Prefix // multicast groups that it sends to whom asks for one; none when it is not valid

	mu     sync.Mutex // guards the fields below
	clip   clip
	does   switches
	plays  int                  // sessions that came as far as PLAY
	logins int                  // requests with a login
	ways   []gortsplib.Protocol // of each track that was set up
	conns  []*fakeConn
	stop   func() // nil while it is off
	stream *gortsplib.ServerStream
}

// newFakeCamera makes a camera, which is on, unless fit says something else about it.
func newFakeCamera(t *testing.T, c clip, fit func(*fakeCamera)) *fakeCamera {
	t.Helper()
	cam := &fakeCamera{t: t, Address: freeAddress(t), clip: c}
	if fit != nil {
		fit(cam)
	}
	cam.on()
	t.Cleanup(cam.off)
	return cam
}

func (c *fakeCamera) URL() string { return "rtsp://" + c.Address + "/main" }

// set flips switches.
func (c *fakeCamera) set(flip func(*switches)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hole := c.does.Hole
	flip(&c.does)
	if c.does.Hole && !hole {
		for _, conn := range c.conns {
			conn.hole.Store(true)
		}
	}
}

func (c *fakeCamera) now() switches {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.does
}

// sessions is how often it was asked to play.
func (c *fakeCamera) sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plays
}

// on starts the camera.
func (c *fakeCamera) on() {
	c.t.Helper()
	sps, pps := c.clip.sets()
	if c.bare {
		sps, pps = nil, nil
	}
	video := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: pps}
	medias := []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{video}}}
	if c.sound {
		medias = append(medias, &description.Media{Type: description.MediaTypeAudio,
			Formats: []format.Format{&format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1}}})
	}
	server := &gortsplib.Server{Handler: c, RTSPAddress: c.Address, Listen: c.listen, WriteQueueSize: 1 << 14}
	if c.group.IsValid() {
		server.MulticastIPRange, server.MulticastRTPPort, server.MulticastRTCPPort = c.group.String(), 5004, 5005
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
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream = stream
	c.stop = func() {
		cancel()
		wg.Wait()
		stream.Close()
		server.Close()
	}
}

// off pulls its plug: connections are reset, and new ones refused.
func (c *fakeCamera) off() {
	c.mu.Lock()
	stop := c.stop
	c.stop, c.stream = nil, nil
	for _, conn := range c.conns {
		_ = conn.Conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Conn.Close()
	}
	c.conns = nil
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// feed sends pictures, and two packets of sound of 20 ms with each.
func (c *fakeCamera) feed(ctx context.Context, stream *gortsplib.ServerStream, video *format.H264, medias []*description.Media) {
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
		c.mu.Lock()
		does, pictures := c.does, c.clip
		c.mu.Unlock()
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
		for i := 2 * n; c.sound && !does.Mute && i < 2*n+2; i++ {
			_ = stream.WritePacketRTP(medias[1], &rtp.Packet{
				Header:  rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 160, Marker: i == 0},
				Payload: bytes.Repeat([]byte{0xff}, 160),
			})
		}
	}
}

// OnDescribe is where a login is wanted.
func (c *fakeCamera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Request.Header["Authorization"] != nil {
		c.logins++
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
func (c *fakeCamera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ways = append(c.ways, ctx.Transport.Protocol)
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnPlay counts.
func (c *fakeCamera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plays++
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnStreamWriteError is told of a reader that does not read.
func (c *fakeCamera) OnStreamWriteError(*gortsplib.ServerHandlerOnStreamWriteErrorCtx) {}

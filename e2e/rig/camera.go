package rig

import (
	"strings"
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

// The picture of a camera: SMPTE colour bars, so that a test can tell from a few pixels that it was decoded right.
const (
	CameraWidth  = 640
	CameraHeight = 360
	CameraFPS    = 25
)

// Camera is an RTSP server that plays to readers what one publisher, ffmpeg, sends it.
type Camera struct {
	Address        string // host:port
	user, password string // what readers must know; none when empty

	server    gortsplib.Server
	publisher *Process

	mu     sync.Mutex // guards the fields below
	stream *gortsplib.ServerStream
}

// Off switches the camera off, as a power cut does.
func (c *Camera) Off() {
	c.server.Close()
	c.publisher.Stop()
}

// URL is where the picture is, without user and password.
func (c *Camera) URL() string { return "rtsp://" + c.Address + "/live" }

func (c *Camera) published() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream != nil
}

// OnAnnounce takes what ffmpeg has to offer.
func (c *Camera) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stream := &gortsplib.ServerStream{Server: &c.server, Desc: ctx.Description}
	if err := stream.Initialize(); err != nil {
		return &base.Response{StatusCode: base.StatusBadRequest}, err
	}
	c.stream = stream
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnRecord hands the publisher's packets to the readers.
func (c *Camera) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	ctx.Session.OnPacketRTPAny(func(media *description.Media, _ format.Format, packet *rtp.Packet) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = c.stream.WritePacketRTP(media, packet) // fails only while closing
	})
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnDescribe is where a reader must show its password.
func (c *Camera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream,
	error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.user != "" && !ctx.Conn.VerifyCredentials(ctx.Request, c.user, c.password):
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	case c.stream == nil:
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnSetup serves both sides.
func (c *Camera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if ctx.Session.State() == gortsplib.ServerSessionStatePreRecord {
		return &base.Response{StatusCode: base.StatusOK}, nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnPlay lets a reader have it.
func (c *Camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OpusAudio and pcmuAudio are ffmpeg's words for the sound of a camera.
var (
	OpusAudio = []string{"-c:a", "libopus", "-b:a", "48k", "-ar", "48000", "-ac", "2"}
	PcmuAudio = []string{"-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"}
)

// StartCamera serves colour bars and a tone at address, which may be 127.0.0.1:0, and returns once they can be had.
func StartCamera(t testing.TB, address, user, password string, audio []string) *Camera {
	t.Helper()
	return StartCameraWith(t, address, user, password, []string{"-preset", "ultrafast", "-profile:v", "baseline"},
		audio)
}

// StartCameraWith serves them as x264 makes them with these words.
func StartCameraWith(t testing.TB, address, user, password string, video, audio []string) *Camera {
	t.Helper()
	c := &Camera{Address: address, user: user, password: password}
	if strings.HasSuffix(address, ":0") {
		c.Address = FreeAddress(t)
	}
	c.server = gortsplib.Server{Handler: c, RTSPAddress: c.Address}
	if err := c.server.Start(); err != nil {
		t.Fatalf("camera: %v", err)
	}
	t.Cleanup(c.server.Close)
	args := []string{
		"-nostdin", "-loglevel", "warning", "-re", "-f", "lavfi", "-i", "smptebars=size=640x360:rate=25",
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:v", "libx264", "-tune", "zerolatency", "-g", "25", "-b:v", "800k", "-pix_fmt", "yuv420p",
	}
	args = append(append(append(args, video...), audio...), "-f", "rtsp", "-rtsp_transport", "tcp", c.URL())
	c.publisher = Start(t, Environment(), "/usr/bin/ffmpeg", args...)
	Eventually(t, 15*time.Second, "ffmpeg publishes to the camera",
		func() (bool, any) { return c.published(), "no ANNOUNCE" })
	return c
}

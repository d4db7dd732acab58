package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
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
	cameraWidth  = 640
	cameraHeight = 360
	cameraFPS    = 25
)

// camera is an RTSP server that plays to readers what one publisher, ffmpeg, sends it.
type camera struct {
	Address        string // host:port
	user, password string // what readers must know; none when empty

	server    gortsplib.Server
	publisher *process

	mu     sync.Mutex // guards the fields below
	stream *gortsplib.ServerStream
}

// opusAudio and pcmuAudio are ffmpeg's words for the sound of a camera.
var (
	opusAudio = []string{"-c:a", "libopus", "-b:a", "48k", "-ar", "48000", "-ac", "2"}
	pcmuAudio = []string{"-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"}
)

// startCamera serves colour bars and a tone at address, which may be 127.0.0.1:0, and returns once they can be had.
func startCamera(t *testing.T, address, user, password string, audio []string) *camera {
	t.Helper()
	return startCameraWith(t, address, user, password, []string{"-preset", "ultrafast", "-profile:v", "baseline"}, audio)
}

// startCameraWith serves them as x264 makes them with these words.
func startCameraWith(t *testing.T, address, user, password string, video, audio []string) *camera {
	t.Helper()
	c := &camera{Address: address, user: user, password: password}
	if strings.HasSuffix(address, ":0") {
		c.Address = freeAddress(t)
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
	c.publisher = start(t, environment(), "/usr/bin/ffmpeg", args...)
	eventually(t, 15*time.Second, "ffmpeg publishes to the camera", func() (bool, any) { return c.published(), "no ANNOUNCE" })
	return c
}

// off switches the camera off, as a power cut does.
func (c *camera) off() {
	c.server.Close()
	c.publisher.stop()
}

// URL is where the picture is, without user and password.
func (c *camera) URL() string { return "rtsp://" + c.Address + "/live" }

func (c *camera) published() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream != nil
}

// OnAnnounce takes what ffmpeg has to offer.
func (c *camera) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
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
func (c *camera) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	ctx.Session.OnPacketRTPAny(func(media *description.Media, _ format.Format, packet *rtp.Packet) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = c.stream.WritePacketRTP(media, packet) // fails only while closing
	})
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnDescribe is where a reader must show its password.
func (c *camera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
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
func (c *camera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if ctx.Session.State() == gortsplib.ServerSessionStatePreRecord {
		return &base.Response{StatusCode: base.StatusOK}, nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnPlay lets a reader have it.
func (c *camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// nextPort is where freeAddress looks on: below the ports that the system gives to whoever asks for any, so that none is taken between the look and the use, and no two
// tests get the same.
var nextPort atomic.Uint32

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	var err error
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+(uint32(os.Getpid())*100+nextPort.Add(1))%10_000)
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatalf("no port is free: %v", err)
	return ""
}

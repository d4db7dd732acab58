package rtsp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// clip is ffmpeg's output: access units in decoding order, with their presentation times.
type clip struct {
	units    [][][]byte
	pts      []time.Duration
	sps, pps []byte
}

// encode makes two seconds of 320x240 pictures at 25 a second with libx264.
func encode(t testing.TB, args ...string) clip {
	t.Helper()
	mp4, stream := filepath.Join(t.TempDir(), "a.mp4"), filepath.Join(t.TempDir(), "a.h264")
	run(t, "ffmpeg",
		append(append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-c:v", "libx264",
			"-pix_fmt", "yuv420p", "-g", "25", "-preset", "ultrafast"}, args...), mp4)...)
	run(t, "ffmpeg", "-v", "error", "-i", mp4, "-c", "copy", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert",
		stream)
	times := run(t, "ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of",
		"csv=p=0", mp4)

	var c clip
	for _, field := range strings.Fields(times) {
		seconds, err := strconv.ParseFloat(strings.Trim(field, ","), 64)
		if err != nil {
			t.Fatal(err)
		}
		c.pts = append(c.pts, time.Duration(seconds*1e9).Round(time.Millisecond))
	}
	data, err := os.ReadFile(stream)
	if err != nil {
		t.Fatal(err)
	}
	r := h264.NewReader(bytes.NewReader(data))
	var params h264.Params
	for {
		au, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		params.Set(au...)
		c.units = append(c.units, au)
	}
	if len(c.units) != len(c.pts) || len(c.units) != 50 {
		t.Fatalf("%d access units and %d times, want 50", len(c.units), len(c.pts))
	}
	c.sps, c.pps = params.SPS(), params.PPS()
	return c
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s (a test needs it: apt-get install ffmpeg): %v\n%s", name, err, problems.String())
	}
	return out.String()
}

// sound makes two seconds of a tone as packets of 20 ms: 160 bytes each in G.711 and in Opus of 64 kbit/s.
func sound(t testing.TB, args ...string) [][]byte {
	t.Helper()
	out := []byte(run(t, "ffmpeg",
		append(append([]string{"-v", "error", "-f", "lavfi", "-i", "sine=d=2:r=48000"}, args...), "-")...))
	var packets [][]byte
	for ; len(out) >= 160; out = out[160:] {
		packets = append(packets, out[:160:160])
	}
	return packets
}

func opus(t testing.TB) [][]byte {
	return sound(t, "-c:a", "libopus", "-vbr", "off", "-b:a", "64k", "-frame_duration", "20", "-map", "0:a", "-f",
		"data")
}

func mulaw(t testing.TB) [][]byte { return sound(t, "-ar", "8000", "-f", "mulaw") }

// camera is an RTSP camera made of gortsplib's server. The fields above the line are set before start.
type camera struct {
	t     testing.TB
	video []clip        // played one after the other, over and over
	forma format.Format // of the video; nil is H.264 with the parameter sets of the first clip
	audio format.Format // nil means none
	sound [][]byte      // packets of 20 ms
	user  string        // "" is for everybody
	pass  string
	auth  []auth.VerifyMethod
	first uint32 // RTP timestamp of the first frame
	tune  func(*gortsplib.Server)
	marks bool          // each audio packet ends a unit, as with AAC
	late  int           // audio packets by which the audio follows its picture
	wrong time.Duration // error of the clock in the audio's reports
	times float64       // how fast the time stamps of the video run; 0 means as fast as time

	address string
	server  *gortsplib.Server
	stream  *gortsplib.ServerStream
	ready   chan struct{} // closed when the fields above are set: a client may be at the door before
	medias  []*description.Media
	feeding context.CancelFunc
	fed     sync.WaitGroup
}

// start listens at address, "127.0.0.1:0" for any port, and feeds.
func (c *camera) start(address string) *camera {
	c.t.Helper()
	if c.forma == nil {
		c.forma = &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: c.video[0].sps, PPS: c.video[0].pps}
	}
	c.medias = []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{c.forma}}}
	if c.audio != nil {
		c.medias = append(c.medias, &description.Media{Type: description.MediaTypeAudio,
			Formats: []format.Format{c.audio}})
	}
	c.server = &gortsplib.Server{Handler: c, RTSPAddress: address, AuthMethods: c.auth,
		Listen: func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			if err == nil {
				c.address = l.Addr().String()
			}
			return l, err
		}}
	c.ready = make(chan struct{})
	if c.tune != nil {
		c.tune(c.server)
	}
	if err := c.server.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.stream = &gortsplib.ServerStream{Server: c.server, Desc: &description.Session{Medias: c.medias}}
	if err := c.stream.Initialize(); err != nil {
		c.t.Fatal(err)
	}
	close(c.ready)
	ctx, cancel := context.WithCancel(context.Background())
	c.feeding = cancel
	c.fed.Go(func() { c.feed(ctx) })
	c.t.Cleanup(c.stop)
	return c
}

// stop ends the camera as pulling its plug would.
func (c *camera) stop() {
	if c.server == nil {
		return
	}
	c.freeze()
	c.stream.Close()
	c.server.Close()
	c.server = nil
}

// freeze sends no more packets.
func (c *camera) freeze() {
	c.feeding()
	c.fed.Wait()
}

func (c *camera) url() string { return "rtsp://" + c.address + "/main" }

// feed sends video and audio in real time.
func (c *camera) feed(ctx context.Context) {
	h, ok := c.forma.(*format.H264)
	if !ok || len(c.video) == 0 {
		return
	}
	enc, err := h.CreateEncoder()
	if err != nil {
		c.t.Error(err)
		return
	}
	begin := time.Now()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(begin.Add(time.Duration(n) * 40 * time.Millisecond))):
		}
		clip := c.video[n/50%len(c.video)]
		pts := time.Duration(n/50)*2*time.Second + clip.pts[n%50]
		packets, err := enc.Encode(clip.units[n%50])
		if err != nil {
			c.t.Error(err)
			return
		}
		for _, pkt := range packets {
			pkt.Timestamp = c.first + uint32(pts*90/time.Millisecond)
			if c.times > 0 {
				pkt.Timestamp = c.first + uint32(float64(pts*90/time.Millisecond)*c.times)
			}
			c.stream.WritePacketRTPWithNTP(c.medias[0], pkt, begin.Add(pts))
		}
		c.feedSound(2*n-c.late, begin.Add(c.wrong))
	}
}

// feedSound sends two audio packets, which last as long as one picture. The first one was captured at begin, according
// to the camera's reports.
func (c *camera) feedSound(n int, begin time.Time) {
	if c.audio == nil {
		return
	}
	for i := max(n, 0); i < n+2; i++ {
		c.stream.WritePacketRTPWithNTP(c.medias[1], &rtp.Packet{
			Header: rtp.Header{Version: 2, PayloadType: c.audio.PayloadType(), SequenceNumber: uint16(i), SSRC: 7,
				Marker:    c.marks || i == 0,
				Timestamp: c.first + uint32(i*c.audio.ClockRate()/50)},
			Payload: c.sound[i%len(c.sound)],
		}, begin.Add(time.Duration(i)*20*time.Millisecond))
	}
}

func (c *camera) login(conn *gortsplib.ServerConn, req *base.Request) bool {
	return c.user == "" || conn.VerifyCredentials(req, c.user, c.pass)
}

func (c *camera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream,
	error) {
	<-c.ready
	if !c.login(ctx.Conn, ctx.Request) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	if ctx.Path != "/main" {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

func (c *camera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if !c.login(ctx.Conn, ctx.Request) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

func (c *camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// source makes a source whose log goes to a buffer.
func source(t testing.TB, o rtsp.Options) (*rtsp.Source, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	s, err := rtsp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// sink keeps the frames and ends the run when it has enough.
type sink struct {
	enough func(*sink) bool
	stop   context.CancelFunc
	tracks [][]media.Track
	frames []*media.Frame
}

func (s *sink) Tracks(t []media.Track) { s.tracks = append(s.tracks, t) }
func (s *sink) Write(f *media.Frame) {
	s.frames = append(s.frames, f)
	if s.enough != nil && s.enough(s) {
		s.stop()
	}
}

func (s *sink) of(c media.Codec) (frames []*media.Frame) {
	for _, f := range s.frames {
		if f.Codec == c {
			frames = append(frames, f)
		}
	}
	return frames
}

// play runs src until enough has come, or at most 20 seconds.
func play(t testing.TB, src *rtsp.Source, enough func(*sink) bool) (*sink, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := &sink{enough: enough, stop: cancel}
	err := src.Run(ctx, out)
	return out, err
}

func pictures(n int) func(*sink) bool {
	return func(s *sink) bool { return len(s.of(media.H264)) >= n }
}

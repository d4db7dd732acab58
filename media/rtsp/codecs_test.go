package rtsp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/internal/es"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// units returns two seconds of access units from ffmpeg, which a camera of another codec repeats.
func units(t *testing.T, ending string, args ...string) [][][]byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a."+ending)
	run(t, "ffmpeg",
		append(append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi", "-i",
			"sine=d=2:r=48000",
			"-pix_fmt", "yuv420p", "-g", "25"}, args...), file)...)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := demux.Open(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var all [][][]byte
	for {
		u, err := s.Next()
		if err != nil {
			return all
		}
		all = append(all, u.Data)
	}
}

// feedUnits sends access units as packets of a format, 25 a second.
func (c *camera) feedUnits(t *testing.T, all [][][]byte) {
	t.Helper()
	encode := encoder(t, c.forma)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stop := c.feeding
	c.feeding = func() { cancel(); stop() }
	c.fed.Go(func() {
		begin := time.Now()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(begin.Add(time.Duration(n) * 40 * time.Millisecond))):
			}
			packets, err := encode(all[n%len(all)])
			if err != nil {
				t.Error(err)
				return
			}
			for _, pkt := range packets {
				pkt.Timestamp = uint32(n * 3600)
				c.stream.WritePacketRTPWithNTP(c.medias[0], pkt, begin.Add(time.Duration(n)*40*time.Millisecond))
			}
			c.feedSound(2*n, begin)
		}
	})
}

func encoder(t *testing.T, forma format.Format) func([][]byte) ([]*rtp.Packet, error) {
	t.Helper()
	var err error
	var encode func([][]byte) ([]*rtp.Packet, error)
	switch f := forma.(type) {
	case *format.H264:
		e, problem := f.CreateEncoder()
		encode, err = e.Encode, problem
	case *format.H265:
		e, problem := f.CreateEncoder()
		encode, err = e.Encode, problem
	case *format.VP8:
		e, problem := f.CreateEncoder()
		encode, err = func(u [][]byte) ([]*rtp.Packet, error) { return e.Encode(u[0]) }, problem
	case *format.VP9:
		e, problem := f.CreateEncoder()
		encode, err = func(u [][]byte) ([]*rtp.Packet, error) { return e.Encode(u[0]) }, problem
	case *format.AV1:
		e, problem := f.CreateEncoder()
		encode, err = func(u [][]byte) ([]*rtp.Packet, error) {
			var tu av1.Bitstream
			if err := tu.Unmarshal(u[0]); err != nil {
				return nil, err
			}
			return e.Encode(tu[1:]) // without the temporal delimiter, as the RTP format wants
		}, problem
	}
	if err != nil {
		t.Fatal(err)
	}
	return encode
}

// TestCodecs: each codec that a browser may know keeps the promises of a source, with its size read from the stream.
func TestCodecs(t *testing.T) {
	for _, tt := range []struct {
		codec  media.Codec
		forma  format.Format
		ending string
		args   string
	}{
		{media.H265, &format.H265{PayloadTyp: 96}, "hevc",
			"-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=0:keyint=25"},
		{media.VP8, &format.VP8{PayloadTyp: 96}, "ivf", "-c:v libvpx -deadline realtime -cpu-used 8"},
		{media.VP9, &format.VP9{PayloadTyp: 96}, "ivf", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"},
		{media.AV1, &format.AV1{PayloadTyp: 96}, "ivf", "-c:v libsvtav1 -preset 12 -svtav1-params pred-struct=1"},
	} {
		t.Run(string(tt.codec), func(t *testing.T) {
			cam := (&camera{t: t, forma: tt.forma, audio: formatPCMU, sound: mulaw(t)}).start("127.0.0.1:0")
			cam.feedUnits(t, units(t, tt.ending, strings.Fields(tt.args)...))
			src, _ := source(t, rtsp.Options{URL: cam.url()})
			mediatest.Source(t, func(t *testing.T) media.Source { return src })
			out, err := play(t, src, func(s *sink) bool {
				return len(s.of(tt.codec)) >= 30 &&
					len(s.of(media.PCMU)) > 0
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			last := out.tracks[len(out.tracks)-1]
			if len(last) != 2 || last[0].Width != 320 || last[0].Height != 240 {
				t.Errorf("tracks %+v", last)
			}
			frames, sound := out.of(tt.codec), out.of(media.PCMU)
			if d := frames[0].PTS - sound[0].PTS; d < -1500*time.Millisecond || d > 1500*time.Millisecond {
				t.Errorf("picture begins at %v, sound at %v", frames[0].PTS, sound[0].PTS)
			}
		})
	}
}

// TestForeign: audio for a transcoder passes if asked for, frame by frame with the headers that a decoder needs.
func TestForeign(t *testing.T) {
	aac := &format.MPEG4Audio{PayloadTyp: 97, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
		Config: &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 1}}
	var frames [][]byte
	for _, u := range units(t, "ts", "-map", "1:a", "-c:a", "aac") {
		var p mpeg4audio.ADTSPackets
		if err := p.Unmarshal(u[0]); err != nil {
			t.Fatal(err)
		}
		for _, packet := range p {
			size := len(packet.AU) << 3
			frames = append(frames, append([]byte{0, 16, byte(size >> 8), byte(size)}, packet.AU...))
		}
	}
	cam := (&camera{t: t, video: []clip{baseline(t)}, audio: aac, sound: frames, marks: true}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url(), Foreign: true})
	out, err := play(t, src, func(s *sink) bool { return len(s.of(es.ADTS)) >= 20 && len(s.of(media.H264)) > 0 })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, f := range out.of(es.ADTS) {
		if d := es.Duration(es.ADTS, f.Data[0]); d != 1024*time.Second/48000 {
			t.Errorf("a frame of %v", d)
		}
	}
}

// dial waits before each connection: the library's server answers the first one of an HTTP tunnel before it is ready
// for the second.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(100 * time.Millisecond):
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// TestTransports: the same camera over each way that packets can come.
func TestTransports(t *testing.T) {
	video := baseline(t)
	free := func() string {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		return pc.LocalAddr().String()
	}
	for name, tt := range map[string]struct {
		transport rtsp.Transport
		tune      func(*gortsplib.Server)
	}{
		"udp": {rtsp.UDP, func(s *gortsplib.Server) {
			for { // RTP wants an even port, and the next one for RTCP
				host, port, _ := net.SplitHostPort(free())
				if n := new(big.Int); port[len(port)-1]%2 == 0 {
					n.SetString(port, 10)
					s.UDPRTPAddress = net.JoinHostPort(host, port)
					s.UDPRTCPAddress = net.JoinHostPort(host, n.Add(n, big.NewInt(1)).String())
					return
				}
			}
		}},
		"http": {rtsp.HTTP, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cam := (&camera{t: t, video: []clip{video}, audio: formatOpus, sound: opus(t),
				tune: tt.tune}).start("127.0.0.1:0")
			mediatest.Source(t, func(t *testing.T) media.Source {
				s, _ := source(t, rtsp.Options{URL: cam.url(), Transport: tt.transport, DialContext: dial})
				return s
			})
		})
	}
}

// certificate is one that a camera made itself, and its fingerprint.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "IPCAM"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, hex.EncodeToString(sum[:])
}

// TestTLS: an untrusted certificate is refused, and the error has the fingerprint to set. With that fingerprint the
// camera plays, and another certificate does not.
func TestTLS(t *testing.T) {
	cert, print := certificate(t)
	cam := (&camera{t: t, video: []clip{baseline(t)}, tune: func(s *gortsplib.Server) {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}}).start("127.0.0.1:0")
	url := strings.Replace(cam.url(), "rtsp://", "rtsps://", 1)
	wrong := func(o rtsp.Options, want ...string) {
		t.Helper()
		src, _ := source(t, o)
		_, err := play(t, src, nil)
		for _, words := range want {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%v, want %s", err, words)
			}
		}
		var s interface{ Slow() bool }
		if !errors.As(err, &s) || !s.Slow() {
			t.Errorf("%v should be tried seldom", err)
		}
	}
	wrong(rtsp.Options{URL: url}, "certificate", "set fingerprint: "+print)
	wrong(rtsp.Options{URL: url, Fingerprint: strings.Repeat("ab", 32)}, "another fingerprint")
	src, _ := source(t, rtsp.Options{URL: url, Fingerprint: strings.ToUpper(print[:2]) + ":" + print[2:]})
	mediatest.Source(t, func(t *testing.T) media.Source { return src })

	for _, o := range []rtsp.Options{{URL: url, Fingerprint: "abc"}, {URL: url, Transport: rtsp.UDP}} {
		if _, err := rtsp.New(o); err == nil {
			t.Errorf("%+v is good", o)
		}
	}
}

// TestBasic: a password in clear text leaves this host only when the operator has said so.
func TestBasic(t *testing.T) {
	cam := (&camera{t: t, video: []clip{baseline(t, "-g", "5")}, user: "admin", pass: "sesame",
		auth: []auth.VerifyMethod{auth.VerifyMethodBasic}}).start("127.0.0.1:0")
	var wire bytes.Buffer
	o := rtsp.Options{URL: "rtsp://camera.example/main",
		Username: "admin", Password: "sesame", Log: slog.New(slog.DiscardHandler),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, cam.address)
			return &tap{conn, &wire}, err
		}}
	src, _ := source(t, o)
	_, err := play(t, src, nil)
	if err == nil || !strings.Contains(err.Error(), "wants the password in clear text") ||
		!strings.Contains(err.Error(), "basic_auth: true") {
		t.Errorf("Run = %v", err)
	}
	if strings.Contains(wire.String(), "Authorization") {
		t.Errorf("it was sent:\n%s", wire.String())
	}
	o.Basic = true
	src, _ = source(t, o)
	if _, err := play(t, src, pictures(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("with leave: Run = %v", err)
	}
}

// tap is a connection that records what was sent.
type tap struct {
	net.Conn
	sent *bytes.Buffer
}

func (c *tap) Write(p []byte) (int, error) {
	c.sent.Write(p)
	return c.Conn.Write(p)
}

// TestWideG711: G.711 of 16000 Hz under a payload type that stands for 8000 Hz is played at its speed.
func TestWideG711(t *testing.T) {
	wide := &format.G711{PayloadTyp: 8, SampleRate: 16000, ChannelCount: 1}
	cam := (&camera{t: t, video: []clip{baseline(t)}, audio: wide,
		sound: [][]byte{bytes.Repeat([]byte{0xd5}, 320)}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url()})
	out, err := play(t, src, pictures(50))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	frames := out.of(media.PCMA)
	if len(frames) < 20 {
		t.Fatalf("%d frames of sound", len(frames))
	}
	samples := 0
	for _, f := range frames[1 : len(frames)-1] {
		samples += f.Size()
	}
	lasts := frames[len(frames)-1].PTS - frames[1].PTS
	if off := time.Duration(samples)*time.Second/8000 - lasts; off.Abs() > 10*time.Millisecond {
		t.Errorf("%d samples of 8000 Hz last %v", samples, lasts)
	}
}

package mpegts_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/mpegts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// port returns a free one.
func port(t *testing.T) int {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	return pc.LocalAddr().(*net.UDPAddr).Port
}

// send lets ffmpeg send to url until the test is over.
func send(t *testing.T, args string) {
	t.Helper()
	var problems bytes.Buffer
	cmd := exec.Command("ffmpeg",
		strings.Fields("-v error -re -f lavfi -i testsrc2=s=320x240:r=25 -re -f lavfi -i sine=r=48000"+
			" -pix_fmt yuv420p -g 25 -map 0:v -map 1:a -c:v libx264 -preset ultrafast -tune zerolatency "+args)...)
	cmd.Stderr = &problems
	if err := cmd.Start(); err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(problems.String())
		}
	})
}

func source(t *testing.T, url string) media.Source {
	t.Helper()
	o, err := mpegts.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	s, err := mpegts.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A stream that was on the way before we came, plain and in RTP.
func TestSource(t *testing.T) {
	for name, url := range map[string]string{"plain": "-f mpegts udp://127.0.0.1:%d?pkt_size=1316",
		"rtp": "-f rtp_mpegts rtp://127.0.0.1:%d?pkt_size=1328"} {
		t.Run(name, func(t *testing.T) {
			n := port(t)
			send(t, "-c:a libopus "+fmt.Sprintf(url, n))
			mediatest.Source(t,
				func(t *testing.T) media.Source { return source(t, fmt.Sprintf("mpegts://127.0.0.1:%d", n)) })
		})
	}
}

// The first sender is the only one: others cannot inject packets. If a sender is configured, only that one is accepted.
func TestOneSender(t *testing.T) {
	n := port(t)
	noise, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	send(t, fmt.Sprintf("-c:a libopus -f mpegts udp://127.0.0.1:%d?pkt_size=1316&localaddr=127.0.0.1", n))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		junk := bytes.Repeat([]byte{0x47, 0x40, 0, 0x10, 0, 1, 2, 3}, 188/4)
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(n)))
		for ctx.Err() == nil {
			_, _ = noise.WriteTo(junk, to)
			time.Sleep(time.Millisecond)
		}
	})
	c := &counter{enough: 50, cancel: cancel}
	if err := source(t, fmt.Sprintf("mpegts://:%d?from=127.0.0.1", n)).Run(ctx, c); err != context.Canceled {
		t.Error(err)
	}
	wg.Wait()
	if c.gaps > 0 {
		t.Errorf("%d gaps in the picture", c.gaps)
	}
}

// counter cancels after enough pictures.
type counter struct {
	n, gaps, enough int
	last            time.Duration
	cancel          func()
}

func (c *counter) Tracks([]media.Track) {}
func (c *counter) Write(f *media.Frame) {
	if !f.Codec.Video() {
		return
	}
	if c.n++; c.n > 1 && f.PTS-c.last > 60*time.Millisecond {
		c.gaps++
	}
	if c.last = f.PTS; c.n == c.enough {
		c.cancel()
	}
}

func TestErrors(t *testing.T) {
	for url, want := range map[string]string{
		"mpegts:":                             "no port",
		"mpegts://127.0.0.1":                  "no port",
		"mpegts://127.0.0.1:0":                "no port",
		"mpegts://example.org:5000":           "not an IP address",
		"mpegts://127.0.0.1:5000/x":           "hint: mpegts://HOST:PORT",
		"mpegts://127.0.0.1:5000?from=x":      "from",
		"mpegts://127.0.0.1:5000?pkt_size=99": `unknown or repeated option "pkt_size"`,
		"udp://127.0.0.1:5000":                "hint",
	} {
		if _, err := mpegts.Parse(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	n := pc.LocalAddr().(*net.UDPAddr).Port
	if err := source(t, fmt.Sprintf("mpegts://127.0.0.1:%d", n)).Run(t.Context(), &counter{}); err == nil ||
		!strings.Contains(err.Error(), "another program listens there") {
		t.Errorf("%v", err)
	}
	if err := source(t, "mpegts://192.0.2.1:5000").Run(t.Context(), &counter{}); err == nil ||
		!strings.Contains(err.Error(), "does not have this address") {
		t.Errorf("%v", err)
	}
}

// TestSizes: packets with a time stamp before each of them, which may look like RTP, or with error correction behind.
func TestSizes(t *testing.T) {
	stream, err := exec.Command("ffmpeg", strings.Fields("-v error -f lavfi -i testsrc2=s=320x240:r=25 -t 4 -pix_fmt "+
		"yuv420p -g 10 -c:v libx264 -preset ultrafast -tune zerolatency -f mpegts -")...).Output()
	if err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v", err)
	}
	for _, tt := range []struct{ before, after int }{{4, 0}, {0, 16}} {
		t.Run(fmt.Sprint(188+tt.before+tt.after), func(t *testing.T) {
			n := port(t)
			to, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", n))
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() {
				for at := 0; ctx.Err() == nil; at = (at + 7*188) % (len(stream) - 7*188) {
					var datagram []byte
					for i := range 7 {
						datagram = append(datagram, []byte{0x80, 33, 7, byte(i)}[:tt.before]...)
						datagram = append(datagram, stream[at+i*188:at+i*188+188]...)
						datagram = append(datagram, make([]byte, tt.after)...)
					}
					_, _ = to.Write(datagram) // nobody listens yet, perhaps
					time.Sleep(time.Millisecond)
				}
			})
			got := 0
			_ = source(t, fmt.Sprintf("mpegts://127.0.0.1:%d", n)).Run(ctx, sink(func(f *media.Frame) {
				if got++; got == 50 {
					stop()
				}
			}))
			if got < 50 {
				t.Errorf("%d pictures, want 50", got)
			}
		})
	}
}

// sink is a function that gets the frames.
type sink func(*media.Frame)

func (s sink) Tracks([]media.Track) {}
func (s sink) Write(f *media.Frame) { s(f) }

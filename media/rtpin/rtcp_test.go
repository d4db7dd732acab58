package rtpin_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtpin"
)

func TestControl(t *testing.T) {
	for _, tt := range []struct {
		lines string // of the track
		host  string
		port  int
	}{
		{"", "127.0.0.1", 5001},
		{"a=rtcp-mux\n", "", 0},
		{"a=rtcp:5000\n", "", 0},
		{"a=rtcp:6000\n", "127.0.0.1", 6000},
		{"a=rtcp:6000 IN IP4 239.1.2.3/32\n", "239.1.2.3", 6000},
		{"a=rtcp:5000 IN IP4 239.1.2.3\n", "239.1.2.3", 5000},
		{"a=rtcp:6000 IN IP4 0.0.0.0\n", "127.0.0.1", 6000},
		{"a=rtcp:6000 IN IP4 nonsense\n", "127.0.0.1", 6000},
		{"a=rtcp:\n", "", 0},
		{"a=rtcp:nonsense\n", "", 0},
		{"a=rtcp:65536\n", "", 0},
		{"a=rtcp:6000\na=rtcp-mux\n", "", 0},
	} {
		host, port, err := rtpin.Control([]byte("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 " +
			"0\nm=video 5000 RTP/AVP 96\na=rtpmap:96 VP8/90000\n" + tt.lines))
		if err != nil || host != tt.host || port != tt.port {
			t.Errorf("%q: RTCP at %q port %d, %v; want %q port %d", tt.lines, host, port, err, tt.host, tt.port)
		}
	}
}

// sender sends numbered VP8 pictures, 25 a second, and numbered audio packets of 20 ms, 400 ms after their picture.
type sender struct {
	t              *testing.T
	to             [2]net.Addr   // RTP of video and audio
	reports        [2]net.Addr   // and where reports go
	wrong          time.Duration // error of the audio's clock
	from, reporter net.PacketConn
}

const late = 20 // audio packets

func (s *sender) run(ctx context.Context) {
	begin := time.Now()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(begin.Add(time.Duration(n) * 20 * time.Millisecond))):
		}
		if n%2 == 0 {
			// Payload descriptor of RFC 7741, then the header of a key frame.
			key := []byte{0x10, 0, 0, 0, 0x9d, 1, 0x2a, 16, 0, 16, 0}
			s.packet(0, 96, n, 1800, true, binary.BigEndian.AppendUint32(key, uint32(n)))
		}
		if n >= late {
			s.packet(1, 0, n-late, 160, false, binary.BigEndian.AppendUint32(make([]byte, 156), uint32(n-late)))
		}
		if n%25 == 0 { // time on both clocks
			now := begin.Add(time.Duration(n) * 20 * time.Millisecond)
			s.report(0, uint32(n*1800), now)
			s.report(1, uint32(n*160), now.Add(s.wrong))
		}
	}
}

func (s *sender) packet(track, pt, n, ticks int, marker bool, payload []byte) {
	data,
		err := (&rtp.Packet{Payload: payload,
		Header: rtp.Header{Version: 2, PayloadType: uint8(pt), Marker: marker, SSRC: uint32(7 + track),
			SequenceNumber: uint16(n / (2 - track)), Timestamp: uint32(n * ticks)}}).Marshal()
	if err != nil {
		s.t.Error(err)
	}
	_, _ = s.from.WriteTo(data, s.to[track])
}

func (s *sender) report(track int, stamp uint32, at time.Time) {
	ntp := uint64(at.Unix()+2_208_988_800)<<32 | uint64(at.Nanosecond())<<32/1_000_000_000
	data, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: uint32(7 + track), NTPTime: ntp, RTPTime: stamp},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: uint32(7 + track),
			Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}}})
	if err != nil {
		s.t.Error(err)
	}
	_, _ = s.reporter.WriteTo(data, s.reports[track])
}

// behind is a sink that measures by how much the PTS of audio exceeds that of its picture.
type behind struct {
	pictures    int
	enough      func()
	zero        time.Duration // PTS of picture 0
	first, last time.Duration
	sounds      int
	before      time.Duration
	back        int // units of audio whose PTS goes back
}

func (b *behind) Tracks([]media.Track) {}

func (b *behind) Write(f *media.Frame) {
	data := f.Data[0]
	at := f.PTS - time.Duration(binary.BigEndian.Uint32(data[len(data)-4:]))*20*time.Millisecond
	if f.Codec.Video() {
		b.zero = at
		if b.pictures--; b.pictures == 0 {
			b.enough()
		}
		return
	}
	if b.last = at - b.zero; b.sounds == 0 {
		b.first = b.last
	}
	if f.PTS < b.before {
		b.back++
	}
	b.sounds++
	b.before = f.PTS
}

// TestReports: audio that arrives 400 ms after its picture is aligned when the sender's reports say where it belongs,
// wherever the reports arrive. It stays where it is when there are no reports, or those of another sender, or nonsense.
func TestReports(t *testing.T) {
	taken := map[int]bool{}
	fresh := func() int {
		for {
			if p := port(t); !taken[p] {
				taken[p] = true
				return p
			}
		}
	}
	for _, tt := range []struct {
		name     string
		attr     func(rtp int) (line string, rtcp int)
		wrong    time.Duration
		other    bool // reports come from another address
		pictures int
		corrects bool
		log      int
	}{
		{"on the next port", func(p int) (string, int) { return "", p + 1 }, 0, false, 260, true, 0},
		{"on the same port", func(p int) (string, int) { return "a=rtcp-mux\n", p }, 0, false, 260, true, 0},
		{"on another port",
			func(int) (string, int) { p := fresh(); return fmt.Sprintf("a=rtcp:%d IN IP4 127.0.0.1\n", p), p }, 0,
			false, 260, true, 0},
		{"nowhere", func(int) (string, int) { return "", fresh() }, 0, false, 75, false, 0},
		{"from elsewhere", func(p int) (string, int) { return "", p + 1 }, 0, true, 75, false, 0},
		{"nonsense", func(p int) (string, int) { return "", p + 1 }, time.Hour, false, 75, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sender{t: t, wrong: tt.wrong}
			text := "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
			for i, m := range []string{"m=video %d RTP/AVP 96\na=rtpmap:96 VP8/90000\n", "m=audio %d RTP/AVP 0\n"} {
				p := fresh()
				line, reports := tt.attr(p)
				text += fmt.Sprintf(m, p) + line
				s.to[i], s.reports[i] = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1),
					Port: p}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: reports}
			}
			file := filepath.Join(t.TempDir(), "x.sdp")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Parallel() // the ports are chosen
			s.from = socket(t, "127.0.0.1:0")
			if s.reporter = s.from; tt.other {
				s.reporter = socket(t, "127.0.0.2:0")
			}
			var log strings.Builder
			src, err := rtpin.New(rtpin.Options{Path: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			wg.Go(func() { s.run(ctx) })
			b := &behind{pictures: tt.pictures, enough: cancel}
			if err := src.Run(ctx, b); !errors.Is(err, context.Canceled) {
				t.Fatalf("Run = %v after %d pictures", err, tt.pictures-b.pictures)
			}
			t.Logf("the sound is late by %v, and then by %v", b.first, b.last)
			from, to := 330*time.Millisecond, 470*time.Millisecond
			if tt.corrects {
				from, to = -20*time.Millisecond, 20*time.Millisecond
			}
			if b.first < 330*time.Millisecond || b.last < from || b.last > to || b.back > 0 {
				t.Errorf("the sound is late by %v, and then by %v, and goes back %d times; want 400 ms, and then %v "+
					"to %v", b.first, b.last, b.back, from, to)
			}
			if n := strings.Count(log.String(), "\n"); n != tt.log || n > 0 &&
				!strings.Contains(log.String(), "sender reports are not followed") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func socket(t *testing.T, address string) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

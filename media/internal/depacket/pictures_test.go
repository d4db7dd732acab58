package depacket_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
)

// pictures makes ten pictures with ffmpeg, as lists of NAL units. The codec is that of the encoder.
func pictures(t testing.TB, encoder string, args ...string) (all [][][]byte) {
	t.Helper()
	form := map[string]string{"libx264": "h264", "libx265": "hevc"}[encoder]
	out, err := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-f", "lavfi", "-i",
		"testsrc2=s=320x1152:r=10", "-frames:v", "10", "-pix_fmt", "yuv420p", "-c:v", encoder, "-preset", "ultrafast",
		"-bf", "0", "-g", "5"}, args...), "-f", form, "-")...).Output()
	if err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v", err)
	}
	stream, err := demux.Open(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	for {
		u, err := stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u.Data)
	}
	if len(all) != 10 {
		t.Fatalf("%d pictures, want 10", len(all))
	}
	return all
}

// clips are pictures as cameras make them.
func clips(t testing.TB) map[string][][][]byte {
	sei := func(head []byte, all [][][]byte) (more [][][]byte) {
		for _, au := range all {
			with := [][]byte{}
			for i, nal := range au {
				if i == len(au)-1 {
					for n := range 40 {
						with = append(with, append(bytes.Clone(head), 5, 3, 1, 2, byte(n), 0x80))
					}
				}
				with = append(with, nal)
			}
			more = append(more, with)
		}
		return more
	}
	return map[string][][][]byte{
		"H264":              pictures(t, "libx264"),
		"H264, 4 slices":    pictures(t, "libx264", "-x264-params", "slices=4:sliced-threads=0"),
		"H264, 68 slices":   pictures(t, "libx264", "-x264-params", "slices=68:sliced-threads=0"),
		"H264, 40 messages": sei([]byte{6}, pictures(t, "libx264", "-x264-params", "aud=1")),
		"H265":              pictures(t, "libx265", "-x265-params", "log-level=none"),
		"H265, 4 slices":    pictures(t, "libx265", "-x265-params", "log-level=none:slices=4:aud=1:repeat-headers=1"),
		"H265, 40 messages": sei([]byte{39 << 1, 1}, pictures(t, "libx265", "-x265-params",
			"log-level=none:repeat-headers=1")),
	}
}

// pack makes packets of at most 1000 bytes of the pictures, ten a second, with markers where they belong. last tells
// which packets end a NAL unit, slice which of these a slice.
func pack(hevc bool, all [][][]byte) (packets []*rtp.Packet, last, slice []bool) {
	for n, au := range all {
		for i, nal := range au {
			isSlice := nal[0]&0x1f <= 5
			header, fragment, kind := 1, []byte{nal[0]&0xe0 | 28}, nal[0]&0x1f
			if hevc {
				header, fragment, kind = 2, []byte{nal[0]&0x81 | 49<<1, nal[1]}, nal[0]>>1&0x3f
				isSlice = kind < 32
			}
			add := func(payload []byte, end bool) {
				packets = append(packets, &rtp.Packet{Header: rtp.Header{Version: 2, Timestamp: uint32(n * 9000),
					SequenceNumber: uint16(len(packets) - 3), Marker: end && i == len(au)-1}, Payload: payload})
				last, slice = append(last, end), append(slice, end && isSlice)
			}
			if len(nal) <= 1000 {
				add(nal, true)
				continue
			}
			for rest, flag := nal[header:], byte(0x80); len(rest) > 0; flag = 0 {
				size := min(1000, len(rest))
				if size == len(rest) {
					flag |= 0x40
				}
				add(append(append(bytes.Clone(fragment), flag|kind), rest[:size]...), size == len(rest))
				rest = rest[size:]
			}
		}
	}
	return packets, last, slice
}

func newTrack(t *testing.T, hevc bool) *depacket.Track {
	t.Helper()
	var forma format.Format = &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	if hevc {
		forma = &format.H265{PayloadTyp: 96}
	}
	track, err := depacket.New(forma)
	if err != nil {
		t.Fatal(err)
	}
	return track
}

// got is the pictures of a track by their times in tenths of a second.
type got struct {
	pictures map[int][][]byte
	order    []int
	damage   []error
}

func (g *got) take(stamp uint32, units []depacket.Unit, err error) {
	for _, u := range units {
		n := int((time.Duration(stamp)*time.Second/90000 + u.Offset + 50*time.Millisecond) / (100 * time.Millisecond))
		g.pictures[n] = append(g.pictures[n], visible(u.Data)...)
		g.order = append(g.order, n)
	}
	if err != nil {
		g.damage = append(g.damage, err)
	}
}

// visible leaves out delimiters, which a track may keep or not.
func visible(au [][]byte) (nals [][]byte) {
	for _, nal := range au {
		if nal[0] != 9 && nal[0] != 35<<1 {
			nals = append(nals, nal)
		}
	}
	return nals
}

func receive(t *testing.T, hevc bool, packets []*rtp.Packet) *got {
	t.Helper()
	track, g := newTrack(t, hevc), &got{pictures: map[int][][]byte{}}
	stamp := uint32(0)
	for _, pkt := range packets {
		units, err := track.Packet(pkt.Clone())
		stamp = pkt.Timestamp
		g.take(stamp, units, err)
	}
	if track.Waiting() {
		units, err := track.Flush()
		g.take(stamp, units, err)
	}
	return g
}

// check wants each picture of a clip once, whole, in order, but those that are left out.
func (g *got) check(t *testing.T, clip [][][]byte, without ...int) {
	t.Helper()
	var want []int
	for n, au := range clip {
		if len(without) > 0 && n == without[0] {
			continue
		}
		want = append(want, n)
		if !reflect.DeepEqual(g.pictures[n], visible(au)) {
			t.Errorf("picture %d has %d NAL units, want the %d that were sent", n, len(g.pictures[n]), len(visible(au)))
		}
	}
	if !reflect.DeepEqual(g.order, want) {
		t.Errorf("pictures %v, want %v", g.order, want)
	}
}

// TestMarkers: a picture is what its slices say, whatever the marker bits say.
func TestMarkers(t *testing.T) {
	for name, clip := range clips(t) {
		hevc := strings.HasPrefix(name, "H265")
		for _, tt := range []struct {
			name   string
			marker func(right, last, slice bool) bool
		}{
			{"right", func(right, _, _ bool) bool { return right }},
			{"none", func(_, _, _ bool) bool { return false }},
			{"on each NAL unit", func(_, last, _ bool) bool { return last }},
			{"on each slice", func(_, _, slice bool) bool { return slice }},
			{"on each packet", func(_, _, _ bool) bool { return true }},
			{"on all but slices", func(_, last, slice bool) bool { return last && !slice }},
		} {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				packets, last, slice := pack(hevc, clip)
				for i, pkt := range packets {
					pkt.Marker = tt.marker(pkt.Marker, last[i], slice[i])
				}
				g := receive(t, hevc, packets)
				if g.check(t, clip); g.damage != nil {
					t.Errorf("damage: %v", g.damage)
				}
			})
		}
	}
}

// TestPromptness: with right markers a picture is not held back, but for the first key frame and the first other one,
// when nothing is known yet.
func TestPromptness(t *testing.T) {
	for name, clip := range clips(t) {
		hevc := strings.HasPrefix(name, "H265")
		packets, _, _ := pack(hevc, clip)
		track, held := newTrack(t, hevc), 0
		for _, pkt := range packets {
			units, err := track.Packet(pkt)
			if err != nil {
				t.Fatal(name, err)
			}
			if pkt.Marker && len(units) == 0 {
				held++
			}
			if track.Waiting() != (pkt.Marker && len(units) == 0) && pkt.Marker {
				t.Errorf("%s: Waiting = %v after %d units", name, track.Waiting(), len(units))
			}
		}
		if several := strings.HasSuffix(name, "slices"); several && held > 0 || held > 2 {
			t.Errorf("%s: %d pictures were held back", name, held)
		}
	}
}

// TestStamps: pictures that share a time stamp are told apart by their slices, and parameter sets with a stamp of their
// own belong to the picture behind them.
func TestStamps(t *testing.T) {
	for name, clip := range clips(t) {
		hevc := strings.HasPrefix(name, "H265")
		packets, _, _ := pack(hevc, clip)
		for _, pkt := range packets {
			pkt.Timestamp, pkt.Marker = 0, false
		}
		track := newTrack(t, hevc)
		var units []depacket.Unit
		for _, pkt := range packets {
			more, err := track.Packet(pkt)
			if err != nil {
				t.Fatal(name, err)
			}
			units = append(units, more...)
		}
		if len(units) != 9 { // the last one has no next
			t.Errorf("%s: %d pictures of one time stamp, want 9", name, len(units))
		}
	}
	clip := pictures(t, "libx264")
	packets, _, slice := pack(false, clip)
	for i, pkt := range packets {
		if !slice[i] && pkt.Payload[0]&0x1f != 28 {
			pkt.Timestamp, pkt.Marker = pkt.Timestamp-3000, true
		}
	}
	receive(t, false, packets).check(t, clip)
}

// TestLoss: a picture of which any packet is missing is left out, and said to be, and all others are whole.
func TestLoss(t *testing.T) {
	for name, clip := range clips(t) {
		t.Run(name, func(t *testing.T) {
			hevc := strings.HasPrefix(name, "H265")
			packets, last, slice := pack(hevc, clip)
			for lost := 8; lost < len(packets)-1; lost += 1 + len(packets)/60 {
				n := int(packets[lost].Timestamp / 9000)
				if n < 2 || n == len(clip)-1 || last[lost] && !slice[lost] {
					continue // parameter sets and messages cost nothing
				}
				g := receive(t, hevc, append(append([]*rtp.Packet{}, packets[:lost]...), packets[lost+1:]...))
				for _, nal := range g.pictures[n] {
					if kind := nal[0] & 0x1f; !hevc && kind <= 5 || hevc && nal[0]>>1 < 32 {
						t.Errorf("packet %d of picture %d: a slice of it comes through", lost, n)
					}
				}
				delete(g.pictures, n)
				var order []int
				for _, o := range g.order {
					if o != n {
						order = append(order, o)
					}
				}
				whole := len(g.order) - len(order)
				if g.order = order; len(g.damage) != 1 {
					t.Errorf("packet %d of picture %d: damage %v", lost, n, g.damage)
				}
				g.check(t, clip, n)
				if whole > 1 {
					t.Errorf("packet %d: the rest of picture %d comes in %d pieces", lost, n, whole)
				}
			}
		})
	}
}

// TestBounds: a picture above the limit is left out, and the reason is given; the next one is shown.
func TestBounds(t *testing.T) {
	clip := pictures(t, "libx264")
	for range 600 {
		clip[3] = append([][]byte{{6, 5, 1, 7, 0x80}}, clip[3]...)
	}
	packets, _, _ := pack(false, clip)
	g := receive(t, false, packets)
	if n := len(g.pictures[3]); n != 512 {
		t.Errorf("%d NAL units are left of the picture, want its first 512, without slices", n)
	}
	g.order = slices.DeleteFunc(g.order, func(n int) bool { return n == 3 })
	if g.check(t, clip, 3); len(g.damage) == 0 || !strings.Contains(fmt.Sprint(g.damage), "more than") {
		t.Errorf("damage: %v", g.damage)
	}
}

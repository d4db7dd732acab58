package receive

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtp"
)

// picture is one whole picture in one packet.
func picture(seq uint16, stamp uint32, key bool) *rtp.Packet {
	payload := []byte{0x61, 1, 2}
	if key { // in a STAP-A with its parameter sets, RFC 6184 section 5.7.1
		payload = []byte{0x78, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 0, 2, 0x68, 1, 0, 3, 0x65, 1, 2}
	}
	return &rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: seq, Timestamp: stamp},
		Payload: payload}
}

// frames pushes pictures in a row, the first a key frame, and counts those that come out.
func frames(a *assembler, seq uint16, stamp uint32, n int) (got int) {
	for i := range n {
		a.push(picture(seq+uint16(i), stamp+uint32(i)*3600, i == 0), 0)
		for f := a.pop(); f != nil; f = a.pop() {
			got++
		}
	}
	return got
}

// TestJumps: a stream that goes on at another sequence number is a stream again, from its next key frame on, wherever
// that is.
func TestJumps(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first uint16
		lost  uint64
	}{
		{"none", 130, 0},
		{"small", 230, 100},
		{"a second of loss", 1130, 1000},
		{"far ahead", 30_130, 30_000},
		{"anew, behind by half of all numbers", 40_000, 0},
		{"anew, over the wrap", 65_000, 0},
	} {
		a := newAssembler(media.H264, 90000)
		if got := frames(a, 100, 0, 30); got < 29 {
			t.Fatalf("%s: %d of 30 pictures came before", tt.name, got)
		}
		got := 0
		for range 2 { // the second group has its key frame where no packet is missing
			got = frames(a, tt.first, 30*3600, 30)
			tt.first += 30
		}
		if got != 30 {
			t.Errorf("%s: %d of 30 pictures came after", tt.name, got)
		}
		if a.lost != tt.lost {
			t.Errorf("%s: %d packets lost, want %d", tt.name, a.lost, tt.lost)
		}
	}
}

// TestJumpingCostsLittle: a remote whose sequence numbers jump about makes us do little more work than any other. A
// thousand packets took minutes.
func TestJumpingCostsLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(i int, last uint16) uint16{
		"to and fro":  func(_ int, last uint16) uint16 { return last + 32_000 },
		"at random":   func(int, uint16) uint16 { return uint16(r.Uint32()) },
		"two by two":  func(i int, last uint16) uint16 { return last + 1 + uint16(i%2)*30_000 },
		"by the most": func(_ int, last uint16) uint16 { return last + reorder },
	} {
		a := newAssembler(media.H264, 90000)
		began, seq := time.Now(), uint16(0)
		for i := range 1000 {
			seq = next(i, seq)
			a.push(picture(seq, uint32(i)*3600, false), 0)
			for f := a.pop(); f != nil; f = a.pop() {
				t.Errorf("%s: a picture without a key frame", name)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: 1000 packets took %v", name, took)
		}
	}
}

// order pushes packets with the payloads given, each a sample of its own but for those joined by a +, and gives the
// samples that come out.
func order(t *testing.T, packets ...*rtp.Packet) (got []string) {
	t.Helper()
	s := newSamples(func() rtp.Depacketizer { return marked{} }, 90000)
	for _, p := range packets {
		s.push(p)
		for out, ok := s.pop(); ok; out, ok = s.pop() {
			text := string(out.data)
			if out.gap {
				text = "gap " + text
			}
			got = append(got, text)
		}
	}
	return got
}

// marked is a codec whose samples begin with a capital letter and end with the marker.
type marked struct{}

func (marked) Unmarshal(p []byte) ([]byte, error)         { return p, nil }
func (marked) IsPartitionHead(p []byte) bool              { return p[0] >= 'A' && p[0] <= 'Z' }
func (marked) IsPartitionTail(marker bool, _ []byte) bool { return marker }

func TestSamples(t *testing.T) {
	// p is a packet; a payload that ends in a dot has the marker, and three packets share a timestamp.
	p := func(seq int, payload string) *rtp.Packet {
		return &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(seq), Timestamp: uint32(seq/3) * 3000,
			Marker: strings.HasSuffix(payload, ".")}, Payload: []byte(payload)}
	}
	row := func(from, n int) (out []*rtp.Packet) {
		for i := from; i < from+n; i++ {
			out = append(out, p(i, "X."))
		}
		return out
	}
	for _, tt := range []struct {
		name    string
		packets []*rtp.Packet
		want    string
	}{
		{"in order", []*rtp.Packet{p(0, "A"), p(1, "b"), p(2, "c."), p(3, "D.")}, "[Abc. D.]"},
		{"out of order", []*rtp.Packet{p(0, "A"), p(2, "c."), p(3, "D."), p(1, "b")}, "[Abc. D.]"},
		{"twice", []*rtp.Packet{p(0, "A"), p(0, "A"), p(1, "b."), p(1, "b."), p(2, "C.")}, "[Ab. C.]"},
		{"out of order at the beginning", []*rtp.Packet{p(1, "b"), p(0, "A"), p(2, "c.")}, "[Abc.]"},
		{"the beginning late, in the middle of a sample", []*rtp.Packet{p(4, "B"), p(5, "c."), p(3, "A.")}, "[Bc.]"},
		{"no marker", []*rtp.Packet{p(0, "A"), p(1, "b"), p(3, "C"), p(2, "B."), p(5, "d.")}, "[AbB.]"},
		{"padding", []*rtp.Packet{p(0, "A"), p(1, ""), p(2, "c.")}, "[Ac.]"},
		{"a stranger from afar", []*rtp.Packet{p(0, "A"), p(30_000, "Z."), p(1, "b.")}, "[Ab.]"},
		{"gone for long", append([]*rtp.Packet{p(0, "A.")}, p(2001, "B"), p(2002, "c.")), "[A. gap Bc.]"},
	} {
		if got := fmt.Sprint(order(t, tt.packets...)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// A packet that never comes is waited for so long, by the clock of the stream, and costs what it belongs to.
	got := order(t, append([]*rtp.Packet{p(0, "A."), p(1, "B")}, row(3, 60)...)...)
	if len(got) < 55 || got[0] != "A." || got[1] != "gap X." {
		t.Errorf("after a loss: %d samples, %v; want the first, and then those from behind the gap", len(got), got)
	}
}

// TestSampleWithoutEnd: neither a sample that never ends nor a fragment that never does grows without a bound.
func TestSampleWithoutEnd(t *testing.T) {
	s := newSamples(func() rtp.Depacketizer { return marked{} }, 90000)
	for i := range 100_000 {
		s.push(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i)}, Payload: []byte("A")})
		if len(s.open) > maxSample {
			t.Fatalf("%d packets wait for the end of a sample", len(s.open))
		}
	}
	a := newAssembler(media.H264, 90000)
	for i := range 20_000 { // FU-A with a beginning, RFC 6184 section 5.8
		a.push(&rtp.Packet{Header: rtp.Header{Marker: true, SequenceNumber: uint16(i), Timestamp: uint32(i) * 3000},
			Payload: append([]byte{0x7c, 0x85}, make([]byte, 1000)...)}, 0)
		a.pop()
	}
	a.push(&rtp.Packet{Header: rtp.Header{Marker: true, SequenceNumber: 20_000, Timestamp: 60_000_000},
		Payload: []byte{0x7c, 0xc5, 1}}, 0)
	if f := a.pop(); f != nil && f.Size() > 100 {
		t.Errorf("a frame of %d bytes came of fragments without an end", f.Size())
	}
}

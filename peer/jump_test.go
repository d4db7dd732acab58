package peer

import (
	"math/rand/v2"
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
	return &rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: seq, Timestamp: stamp}, Payload: payload}
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

// TestJumps: a stream that goes on at another sequence number is a stream again, from its next key frame on, wherever that is.
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

// TestJumpingCostsLittle: a remote whose sequence numbers jump about makes us do little more work than any other. A thousand packets took minutes.
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

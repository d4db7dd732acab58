package load

import (
	"testing"
	"time"

	"github.com/pion/rtp"
)

// frames makes the headers of a video stream: n frames of three packets, from a sequence number and a timestamp on that
// wrap soon.
func frames(n int) (out []header) {
	h := header{kind: videoKind, sequence: 65530, timestamp: 1<<32 - 2*videoStep, ssrc: 7}
	for range n {
		for i := range 3 {
			h.marker = i == 2
			out = append(out, h)
			h.sequence++
		}
		h.timestamp += videoStep
	}
	return out
}

func TestStream(t *testing.T) {
	all := frames(10)
	without := func(from, to int) []header { return append(append([]header(nil), all[:from]...), all[to:]...) }
	moved := append([]header(nil), all...)
	moved[10].timestamp++
	stuck := append([]header(nil), all...)
	for i := 12; i < 30; i++ {
		stuck[i].timestamp -= videoStep
	}
	jump := append([]header(nil), all...)
	for i := 12; i < 30; i++ {
		jump[i].timestamp += 4 * videoStep
	}
	swapped := append([]header(nil), all...)
	swapped[4], swapped[5] = swapped[5], swapped[4]
	for _, tt := range []struct {
		name string
		in   []header
		want counts // sent counts from the first packet to the highest
		lost int
	}{
		{"whole, over the wrap", all, counts{sent: 30, unique: 30}, 0},
		{"a hole", without(7, 10), counts{sent: 30, unique: 27}, 3},
		{"a hole that is filled", append(without(7, 8), all[7]), counts{sent: 30, unique: 30, late: 1}, 0},
		{"out of order", swapped, counts{sent: 30, unique: 30, late: 1}, 0},
		{"twice", append(append([]header(nil), all...), all[3]), counts{sent: 30, unique: 30, repeated: 1}, 0},
		{"a timestamp that moves within a frame", moved, counts{sent: 30, unique: 30, breaks: 2}, 0},
		{"a timestamp that stands still between frames", stuck, counts{sent: 30, unique: 30, breaks: 1}, 0},
		{"frames left out", jump, counts{sent: 30, unique: 30, skipped: 4}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStream(videoRate, videoStep)
			for _, h := range tt.in {
				s.arrive(h, time.Now())
			}
			v := Viewer{streams: map[uint32]*stream{7: s}}
			if got := v.count(); got != tt.want {
				t.Errorf("counts = %+v, want %+v", got, tt.want)
			}
			if len(s.missing) != tt.lost {
				t.Errorf("%d packets missing, want %d", len(s.missing), tt.lost)
			}
		})
	}
}

func TestTransportSequence(t *testing.T) {
	for _, tt := range []struct {
		name       string
		extensions map[uint8][]byte
		want       uint16
		ok         bool
	}{
		{"none", nil, 0, false},
		{"alone", map[uint8][]byte{twccID: {3, 9}}, 3<<8 | 9, true},
		{"behind others", map[uint8][]byte{5: {1, 2, 3}, 9: {7}, twccID: {3, 9}}, 3<<8 | 9, true},
		{"another", map[uint8][]byte{5: {1, 2}}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := rtp.Header{Version: 2, CSRC: []uint32{1}}
			for id, value := range tt.extensions {
				if err := h.SetExtension(id, value); err != nil {
					t.Fatal(err)
				}
			}
			b, err := (&rtp.Packet{Header: h, Payload: []byte{1, 2, 3}}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := transportSequence(b); got != tt.want || ok != tt.ok {
				t.Errorf("transportSequence = %d, %v, want %d, %v", got, ok, tt.want, tt.ok)
			}
			for n := 12; n < len(b); n++ {
				transportSequence(b[:n]) // must not panic
			}
		})
	}
}

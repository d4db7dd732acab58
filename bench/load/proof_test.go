package load

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/pion/rtp"
)

// reel makes a clip of pictures of 3 packets, a key frame each fourth, as a byte stream and as packets of each picture.
func reel(level byte) (stream []byte, pictures [][]*rtp.Packet) {
	for i := range 12 {
		nal := append([]byte{0x41, level, byte(i), 0x80}, bytes.Repeat([]byte{7}, 300)...)
		if i%4 == 0 {
			nal[0] = 0x65
		}
		stream = append(append(stream, 0, 0, 0, 1), nal...)
		var packets []*rtp.Packet
		for j := range 3 {
			part := nal[1+j*101 : min(1+(j+1)*101, len(nal))]
			fu := []byte{nal[0]&0x60 | nalFUA, nal[0] & 0x1f}
			switch j {
			case 0:
				fu[1] |= 0x80
			case 2:
				fu[1] |= 0x40
			}
			packets = append(packets, &rtp.Packet{Header: rtp.Header{Marker: j == 2}, Payload: append(fu, part...)})
		}
		pictures = append(pictures, packets)
	}
	return stream, pictures
}

func TestProof(t *testing.T) {
	mainStream, mains := reel(0)
	subStream, subs := reel(1)
	book := NewBook(mainStream, subStream)
	if book.Pictures() != 24 {
		t.Fatalf("%d pictures, want 24", book.Pictures())
	}
	spoiled := func(p []*rtp.Packet) []*rtp.Packet {
		q := *p[1]
		q.Payload = bytes.Clone(q.Payload)
		q.Payload[50]++
		return []*rtp.Packet{p[0], &q, p[2]}
	}
	for _, tt := range []struct {
		name     string
		pictures [][]*rtp.Packet
		order    []int // of the packets; nil is as they are, -1 never comes
		switches uint64
		wrong    string
	}{
		{"in order", mains, nil, 0, ""},
		{"around and on", append(slices.Clone(mains), mains[0], mains[1]), nil, 0, ""},
		{"down and up at key frames", append(append(slices.Clone(mains[:6]), subs[4:7]...), mains[8:]...), nil, 2, ""},
		{"late packets", mains[:2], []int{0, 2, 3, 1, 5, 4}, 0, ""},
		{"down before a key frame", append(slices.Clone(mains[:6]), subs[6:]...), nil, 0, "follows 5 of level 0"},
		{"a picture left out", append(slices.Clone(mains[:2]), mains[3]), nil, 0, "picture 3 of level 0 follows 1"},
		{"the same again", append(slices.Clone(mains[:2]), mains[1]), nil, 0, "picture 1 of level 0 follows 1"},
		{"changed", [][]*rtp.Packet{mains[0], spoiled(mains[1])}, nil, 0, "picture 2 (304 bytes) is none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packets := slices.Concat(tt.pictures...)
			order := tt.order
			for i := 0; tt.order == nil && i < len(packets); i++ {
				order = append(order, i)
			}
			r := newProof(book)
			for _, i := range order {
				r.push(packets[i], int64(i)+1000)
			}
			if r.pictures != uint64(len(tt.pictures)) || r.switches != tt.switches && tt.wrong == "" {
				t.Errorf("%d pictures, %d switches, want %d, %d", r.pictures, r.switches, len(tt.pictures), tt.switches)
			}
			if got := strings.Join(r.wrong, "; "); (got == "") != (tt.wrong == "") || !strings.Contains(got, tt.wrong) {
				t.Errorf("complaints %q, want %q", got, tt.wrong)
			}
		})
	}
}

// A packet that never comes costs its picture, and what comes after is held against the book again.
func TestProofGoesOnWithoutAPacket(t *testing.T) {
	stream, pictures := reel(0)
	r := newProof(NewBook(stream))
	packets := slices.Concat(slices.Repeat(pictures, 20)...)
	for i, p := range packets {
		if i != 100 {
			r.push(p, int64(i))
		}
	}
	if r.pictures != 239 || len(r.wrong) > 0 {
		t.Errorf("%d pictures, %q, want 239 and no complaint", r.pictures, r.wrong)
	}
}

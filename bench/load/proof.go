package load

import (
	"fmt"
	"hash/maphash"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

const (
	maxWaiting = 512 // packets that wait for one before them; then that one is given up
	maxWrong   = 3   // complaints that are kept
)

// proof reads the pictures that a viewer gets, and holds each against the book: it is whole and unchanged, whether its
// packets came at once or were sent again, and it is a key frame or the one after the picture before it.
type proof struct {
	book    *Book
	waiting map[int64]*rtp.Packet // by extended sequence number
	next    int64
	unpack  *codecs.H264Packet
	data    []byte // of the picture under way, as a byte stream
	torn    bool   // something of it is missing
	last    page
	known   bool // last is the picture before

	pictures, switches uint64
	wrong              []string
}

func newProof(b *Book) *proof { return &proof{book: b, waiting: map[int64]*rtp.Packet{}, next: -1} }

// push takes a packet, in whatever order they come.
func (r *proof) push(p *rtp.Packet, n int64) {
	if r.next < 0 {
		r.next = n
	}
	if n < r.next {
		return
	}
	r.waiting[n] = p
	if len(r.waiting) > maxWaiting {
		for r.waiting[r.next] == nil {
			r.next++
		}
		r.torn, r.known = true, false
	}
	for p := r.waiting[r.next]; p != nil; p = r.waiting[r.next] {
		delete(r.waiting, r.next)
		r.next++
		r.take(p)
	}
}

func (r *proof) take(p *rtp.Packet) {
	if len(p.Payload) == 0 {
		return // a probe
	}
	if r.unpack == nil {
		r.unpack = &codecs.H264Packet{}
	}
	data, err := r.unpack.Unmarshal(p.Payload)
	if err != nil {
		r.complain("a packet that is not H.264: %v", err)
	}
	r.data = append(r.data, data...)
	if !p.Marker {
		return
	}
	if !r.torn {
		for _, nal := range units(r.data) {
			if kind := nal[0] & 0x1f; kind == nalSlice || kind == nalIDR {
				r.picture(nal)
			}
		}
	}
	r.unpack, r.data, r.torn = nil, r.data[:0], false
}

func (r *proof) picture(nal []byte) {
	r.pictures++
	now, ok := r.book.pages[maphash.Bytes(seed, nal)]
	switch {
	case !ok:
		r.complain("picture %d (%d bytes) is none of the clip's", r.pictures, len(nal))
	case r.known && !now.key && (now.level != r.last.level || now.index != r.last.index+1):
		r.complain("picture %d of level %d follows %d of level %d and is no key frame", now.index, now.level,
			r.last.index, r.last.level)
	case r.known && now.level != r.last.level:
		r.switches++
	}
	r.last, r.known = now, ok
}

func (r *proof) complain(format string, args ...any) {
	if len(r.wrong) < maxWrong {
		r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
	}
}

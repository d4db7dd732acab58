package demux

import (
	"bufio"
	"bytes"
)

// tsSizes are the distances from one packet to the next: plain, with a time stamp before it (Blu-ray, many recorders
// and encoders), and with 16 bytes of error correction behind it (DVB receivers).
var tsSizes = []int{tsPacket, 192, 204}

// tsPackets finds the packets of 188 bytes in a byte stream. What stands between them is skipped.
type tsPackets struct {
	r    *bufio.Reader
	size int // distance of the packets, 0 until known
	rest int // bytes to skip before the next packet
	read int64
}

// next returns one packet, in memory of its own. It first synchronises when the stream was joined in the middle, or
// when a packet is not where it should be; then the packet may be nil.
func (t *tsPackets) next() ([]byte, error) {
	if t.rest > 0 {
		if _, err := t.r.Peek(t.rest); err != nil {
			return nil, err
		}
		t.skip(t.rest)
		t.rest = 0
	}
	b, err := t.r.Peek(1)
	if err != nil {
		return nil, err
	}
	if b[0] == tsSync && t.size == 0 {
		if t.size, err = t.measure(); err != nil {
			return nil, err
		}
	}
	if b[0] != tsSync || t.size == 0 {
		t.size = 0
		t.skip(1) // it may have looked like the start of a packet
		return nil, nil
	}
	b, err = t.r.Peek(tsPacket)
	if err != nil {
		return nil, ended(err)
	}
	p := bytes.Clone(b)
	t.skip(tsPacket)
	t.rest = t.size - tsPacket
	return p, nil
}

// measure returns the distance at which more packets follow, 0 if there is none.
func (t *tsPackets) measure() (int, error) {
	const more = 3
	for _, size := range tsSizes {
		b, err := t.r.Peek(more*size + 1)
		if len(b) < tsPacket {
			return 0, ended(err)
		}
		fits := true
		for at := size; at < len(b); at += size {
			fits = fits && b[at] == tsSync
		}
		if fits {
			return size, nil
		}
	}
	return 0, nil
}

func (t *tsPackets) skip(n int) {
	n, _ = t.r.Discard(n) // already peeked at
	t.read += int64(n)
}

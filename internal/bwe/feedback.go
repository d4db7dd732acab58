package bwe

import (
	"encoding/binary"
	"errors"
	"time"
)

// errFeedback says that a message is not valid feedback.
var errFeedback = errors.New("transport-wide feedback is malformed")

const (
	feedbackHead = 8 // bytes before the chunks: base, count, reference time, feedback count
	tick         = 250 * time.Microsecond
	reference    = 64 * time.Millisecond
)

// arrivals walks over a feedback message, from its base sequence number on. It calls each with every sequence number
// and its arrival time by the remote's clock; got is false for a packet that did not arrive.
//
//	| base sequence number | packet status count |
//	| reference time (24 bits, 64 ms) | feedback count |
//	| chunks, 16 bits each | deltas, 8 or 16 bits each, 250 us |
func arrivals(fci []byte, each func(seq uint16, at time.Duration, got bool)) error {
	if len(fci) < feedbackHead {
		return errFeedback
	}
	seq, count := binary.BigEndian.Uint16(fci), int(binary.BigEndian.Uint16(fci[2:]))
	if count > inFlight {
		return errFeedback // more than can be in flight
	}
	at := time.Duration(int32(binary.BigEndian.Uint32(fci[4:]))>>8) * reference
	deltas, err := afterChunks(fci[feedbackHead:], count)
	if err != nil {
		return err
	}
	chunks := fci[feedbackHead:]
	for left := count; left > 0; chunks = chunks[2:] {
		chunk := binary.BigEndian.Uint16(chunks)
		n := min(left, symbolsIn(chunk))
		left -= n
		for i := range n {
			got := true
			switch symbolAt(chunk, i) {
			case 1:
				if len(deltas) < 1 {
					return errFeedback
				}
				at += time.Duration(deltas[0]) * tick
				deltas = deltas[1:]
			case 2:
				if len(deltas) < 2 {
					return errFeedback
				}
				at += time.Duration(int16(binary.BigEndian.Uint16(deltas))) * tick
				deltas = deltas[2:]
			default:
				got = false
			}
			each(seq, at, got)
			seq++
		}
	}
	return nil
}

// afterChunks returns what follows the chunks for count packets.
func afterChunks(b []byte, count int) ([]byte, error) {
	for count > 0 {
		if len(b) < 2 {
			return nil, errFeedback
		}
		n := symbolsIn(binary.BigEndian.Uint16(b))
		if n == 0 {
			return nil, errFeedback
		}
		count -= n
		b = b[2:]
	}
	return b, nil
}

// symbolsIn returns how many packets a chunk covers: a run of equal symbols, 14 of one bit, or 7 of two bits.
func symbolsIn(chunk uint16) int {
	switch {
	case chunk&0x8000 == 0:
		return int(chunk & 0x1fff)
	case chunk&0x4000 == 0:
		return 14
	}
	return 7
}

// symbolAt returns a chunk's symbol for its ith packet: 0 means lost, 1 and 2 are the bytes of its delta.
func symbolAt(chunk uint16, i int) uint16 {
	switch {
	case chunk&0x8000 == 0:
		return chunk >> 13 & 3
	case chunk&0x4000 == 0:
		return chunk >> (13 - i) & 1
	}
	return chunk >> (12 - 2*i) & 3
}

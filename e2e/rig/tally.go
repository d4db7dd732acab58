package rig

import (
	"fmt"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Tally counts the packets and pictures of one video track.
type Tally struct {
	mu     sync.Mutex // guards the fields below
	high   uint64     // highest extended sequence number
	first  uint64
	seen   map[uint64]bool
	stamps map[uint32]bool
	from   uint32 // timestamps
	to     uint32
}

// Watch counts what comes on a track until it ends; it is a CallerOptions.OnTrack.
func (y *Tally) Watch(track *webrtc.TrackRemote) {
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if track.Kind() != webrtc.RTPCodecTypeVideo {
			continue
		}
		y.add(p)
	}
}

func (y *Tally) add(p *rtp.Packet) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.seen == nil {
		y.seen, y.stamps = map[uint64]bool{}, map[uint32]bool{}
		y.first = 1<<16 + uint64(p.SequenceNumber)
		y.high, y.from, y.to = y.first, p.Timestamp, p.Timestamp
	}
	n := y.high + uint64(int64(int16(p.SequenceNumber-uint16(y.high))))
	y.seen[n], y.stamps[p.Timestamp] = true, true
	y.high = max(y.high, n)
	if int32(p.Timestamp-y.to) > 0 {
		y.to = p.Timestamp
	}
}

// Lost is how many pictures came in all, how many packets did not, up to the number given, and how many pictures were
// never sent.
func (y *Tally) Lost(upTo uint64, step uint32) (frames, packets, skipped int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for n := y.first; n <= upTo; n++ {
		if !y.seen[n] {
			packets++
		}
	}
	return len(y.stamps), packets, int((y.to-y.from+step/2)/step) + 1 - len(y.stamps)
}

// Highest is the highest sequence number so far, extended beyond 16 bits.
func (y *Tally) Highest() uint64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.high
}

// String says how many pictures came.
func (y *Tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return fmt.Sprintf("%d pictures", len(y.stamps))
}

package load

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/pion/rtp"
)

// NAL unit types (ITU-T H.264 table 7-1, RFC 6184 section 5.2).
const (
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
)

// keyFrame is one whole key frame that came.
type keyFrame struct {
	hash      uint64 // of its payloads
	timestamp uint32 // RTP
	at        time.Time
}

// seed is the same for all viewers, so that they can compare hashes.
var seed = maphash.MakeSeed()

// keyFrames finds whole key frames among decrypted packets, which may come in any order. A key frame begins with its
// SPS, and all packets from there to its marker are there.
type keyFrames struct {
	open  map[uint32]*assembly // by timestamp
	order []uint32             // of open, oldest first
}

// assembly is one frame so far.
type assembly struct {
	packets     map[uint16]uint64 // hashes by sequence number
	first, last uint16
	begun       bool // first is known
	ended       bool // last is known
	idr         bool
}

// maxOpen bounds the frames that wait for packets: two seconds of them.
const maxOpen = 64

func newKeyFrames() *keyFrames { return &keyFrames{open: map[uint32]*assembly{}} }

// push takes the next packet and reports the key frame that it completes.
func (k *keyFrames) push(p *rtp.Packet, at time.Time) (keyFrame, bool) {
	if len(p.Payload) < 2 {
		return keyFrame{}, false
	}
	f := k.frame(p.Timestamp)
	kind := p.Payload[0] & 0x1f
	if kind == nalSPS || kind == nalSTAPA && len(p.Payload) > 3 && p.Payload[3]&0x1f == nalSPS {
		f.begun, f.first = true, p.SequenceNumber
	}
	f.idr = f.idr || kind == nalIDR || kind == nalFUA && p.Payload[1]&0x1f == nalIDR
	if p.Marker {
		f.ended, f.last = true, p.SequenceNumber
	}
	f.packets[p.SequenceNumber] = maphash.Bytes(seed, p.Payload)
	hash, whole := f.whole()
	return keyFrame{hash: hash, timestamp: p.Timestamp, at: at}, whole && f.idr
}

func (k *keyFrames) frame(timestamp uint32) *assembly {
	f := k.open[timestamp]
	if f == nil {
		f = &assembly{packets: map[uint16]uint64{}}
		k.open[timestamp] = f
		if k.order = append(k.order, timestamp); len(k.order) > maxOpen {
			delete(k.open, k.order[0])
			k.order = k.order[1:]
		}
	}
	return f
}

// whole is the hash of all payloads, once all are there.
func (f *assembly) whole() (hash uint64, ok bool) {
	if !f.begun || !f.ended || len(f.packets) < int(f.last-f.first)+1 {
		return 0, false
	}
	var all []byte
	for n := f.first; ; n++ {
		h, ok := f.packets[n]
		if !ok {
			return 0, false
		}
		all = binary.NativeEndian.AppendUint64(all, h)
		if n == f.last {
			return maphash.Bytes(seed, all), true
		}
	}
}

package load

import (
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

// keyFrames finds whole key frames among decrypted packets. A key frame begins with its SPS, and every packet to its marker is there.
type keyFrames struct {
	hash maphash.Hash
	open bool
	idr  bool
	last rtp.Header
}

func newKeyFrames() *keyFrames {
	k := &keyFrames{}
	k.hash.SetSeed(seed)
	return k
}

// push takes the next packet and reports the key frame that it completes.
func (k *keyFrames) push(p *rtp.Packet, at time.Time) (keyFrame, bool) {
	if len(p.Payload) < 2 {
		k.open = false
		return keyFrame{}, false
	}
	kind := p.Payload[0] & 0x1f
	begins := kind == nalSPS || kind == nalSTAPA && len(p.Payload) > 3 && p.Payload[3]&0x1f == nalSPS
	follows := k.open && p.SequenceNumber == k.last.SequenceNumber+1 && p.Timestamp == k.last.Timestamp
	switch {
	case follows:
	case begins:
		k.open, k.idr = true, false
		k.hash.Reset()
	default:
		k.open = false
		return keyFrame{}, false
	}
	k.idr = k.idr || kind == nalIDR || kind == nalFUA && p.Payload[1]&0x1f == nalIDR
	k.last = p.Header
	_, _ = k.hash.Write(p.Payload) // never fails
	if !p.Marker {
		return keyFrame{}, false
	}
	k.open = false
	return keyFrame{hash: k.hash.Sum64(), timestamp: p.Timestamp, at: at}, k.idr
}

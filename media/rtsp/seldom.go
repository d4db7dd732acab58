package rtsp

import (
	"fmt"
	"time"
)

// keySeldom is how long viewers who come, or have lost a packet, may wait for a key frame before the operator is told.
const keySeldom = 15 * time.Second

// keys watches how often key frames come. Some cameras send one every ten minutes (Smart Codec, H.264+), or none after
// the first (intra refresh).
type keys struct {
	last time.Time // when the last one came
	told bool
}

// frame takes a picture, and returns what to tell the operator, once.
func (k *keys) frame(key bool, now time.Time) (note string) {
	if key || k.last.IsZero() {
		k.last = now
		return ""
	}
	if k.told || now.Sub(k.last) < keySeldom {
		return ""
	}
	k.told = true
	return fmt.Sprintf("no key frame for %v: who comes late, or loses a packet, waits for the next one; hint: %s, and "+
		"switch off its smart codec (H.264+, H.265+)", keySeldom, hintKey)
}

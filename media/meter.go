package media

import "time"

// meterSlots is how many seconds a meter looks back.
const meterSlots = 4

// Meter counts frames and bytes, and computes the rates over the last seconds. The zero value is ready; its owner locks
// it.
type Meter struct {
	Frames, KeyFrames, Bytes uint64

	slots [meterSlots]struct{ second, frames, bytes int64 }
}

// Add counts one frame that arrived at now.
func (m *Meter) Add(now time.Time, key bool, bytes int) {
	m.Frames++
	m.Bytes += uint64(bytes)
	if key {
		m.KeyFrames++
	}
	sec := now.Unix()
	s := &m.slots[sec%meterSlots]
	if s.second != sec {
		s.second, s.frames, s.bytes = sec, 0, 0
	}
	s.frames++
	s.bytes += int64(bytes)
}

// Rates returns frames and bits per second over the whole seconds before now.
func (m *Meter) Rates(now time.Time) (fps, bitrate float64) {
	var frames, bytes, seconds int64
	sec := now.Unix()
	for back := int64(1); back < meterSlots; back++ {
		if s := m.slots[(sec-back)%meterSlots]; s.second == sec-back {
			frames += s.frames
			bytes += s.bytes
			seconds++
		}
	}
	if seconds == 0 {
		return 0, 0
	}
	return float64(frames) / float64(seconds), float64(bytes*8) / float64(seconds)
}

package load

import (
	"errors"
	"fmt"
	"time"
)

// Latency is how late packets and frames came, in milliseconds, behind the source's schedule. The schedule is the line
// of RTP timestamps, and its zero is the fastest packet that any viewer got: what all packets have in common is not in
// it.
type Latency struct{ Packets, Frames []float64 }

// Latencies compares viewers of one server. The first of them must have joined first and decrypt, so that it knows
// every key frame. Each viewer has timestamps of its own; the key frame that it decrypted when it joined, which the
// first one got too, ties them together. So a viewer that is always served last is seen to be. A viewer that cannot be
// tied is left out, and the error names it.
func Latencies(windows []Window) (Latency, error) {
	if len(windows) == 0 {
		return Latency{}, errors.New("latency: no viewers")
	}
	clock := windows[0]
	if len(clock.arrivals) == 0 {
		return Latency{}, errors.New("latency: the first viewer got nothing")
	}
	zero := clock.arrivals[0]
	var all Latency
	var errs []error
	for i, w := range windows {
		offset, err := w.offset(clock)
		if err != nil {
			errs = append(errs, fmt.Errorf("latency: viewer %d: %w", i, err))
			continue
		}
		l := w.latency(func(a arrival) float64 {
			due := float64(int32(a.timestamp-offset-zero.timestamp)) / videoRate * 1e3
			return float64(a.at.Sub(zero.at))/float64(time.Millisecond) - due
		})
		all.Packets, all.Frames = append(all.Packets, l.Packets...), append(all.Frames, l.Frames...)
	}
	if len(all.Packets) == 0 {
		return Latency{}, errors.Join(errs...)
	}
	fastest := all.Packets[0]
	for _, ms := range all.Packets {
		fastest = min(fastest, ms)
	}
	for _, list := range [][]float64{all.Packets, all.Frames} {
		for i := range list {
			list[i] -= fastest
		}
	}
	return all, errors.Join(errs...)
}

// latency takes each packet, and of each frame the last packet to come. Frames whose end did not come are left out;
// Lost counts them.
func (w Window) latency(late func(arrival) float64) (l Latency) {
	frames := map[uint32]*struct {
		last  float64
		ended bool
	}{}
	for _, a := range w.arrivals {
		ms := late(a)
		l.Packets = append(l.Packets, ms)
		f := frames[a.timestamp]
		if f == nil {
			f = &struct {
				last  float64
				ended bool
			}{last: ms}
			frames[a.timestamp] = f
		}
		f.last, f.ended = max(f.last, ms), f.ended || a.marker
	}
	for _, f := range frames {
		if f.ended {
			l.Frames = append(l.Frames, f.last)
		}
	}
	return l
}

// nearby is how far apart in time two viewers may get the same key frame: a newcomer gets a cached one.
const nearby = 8 * time.Second

// offset is by how much this viewer's timestamps are ahead of the clock's.
func (w Window) offset(clock Window) (uint32, error) {
	if len(w.keys) == 0 {
		return 0, errors.New("no key frame")
	}
	mine := w.keys[0]
	best, found := keyFrame{}, false
	for _, k := range clock.keys {
		apart := mine.at.Sub(k.at).Abs()
		if k.hash == mine.hash && apart < nearby && (!found || apart < mine.at.Sub(best.at).Abs()) {
			best, found = k, true
		}
	}
	if !found {
		return 0, errors.New("its first key frame is not one that the first viewer got")
	}
	return mine.timestamp - best.timestamp, nil
}

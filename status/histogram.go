package status

import (
	"iter"
	"sort"
)

// Stage names one of the Stages.
type Stage string

// The stages on the way to the first frame.
const (
	StageOffer     Stage = "offer"
	StageAnswer    Stage = "answer"
	StageICE       Stage = "ice"
	StageConnected Stage = "connected"
	StagePacket    Stage = "packet"
	StageFrame     Stage = "frame"
)

// All yields the stages that were reached, in seconds.
func (s Stages) All() iter.Seq2[Stage, float64] {
	return func(yield func(Stage, float64) bool) {
		for _, x := range []struct {
			stage Stage
			ms    float64
		}{
			{StageOffer, s.Offer}, {StageAnswer, s.Answer}, {StageICE, s.ICE},
			{StageConnected, s.Connected}, {StagePacket, s.Packet}, {StageFrame, s.Frame},
		} {
			if x.ms > 0 && !yield(x.stage, x.ms/1000) {
				return
			}
		}
	}
}

// bounds are the upper bounds of a Histogram's buckets, in seconds: from a picture on the same host to one that nobody
// waits for.
var bounds = [...]float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}

// Histogram counts durations. The zero value is empty.
type Histogram struct {
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum"` // seconds
	// Up to 5, 10, 20, 50, 100, 200 and 500 ms, 1, 2, 5 and 10 s; each includes the ones before it.
	Buckets [len(bounds)]uint64 `json:"buckets"`
}

// Observe counts one duration, in seconds.
func (h *Histogram) Observe(seconds float64) {
	h.Count++
	h.Sum += seconds
	for i := sort.SearchFloat64s(bounds[:], seconds); i < len(bounds); i++ {
		h.Buckets[i]++
	}
}

// cumulative returns the buckets in the form of Prometheus.
func (h Histogram) cumulative() map[float64]uint64 {
	out := make(map[float64]uint64, len(bounds))
	for i, most := range bounds {
		out[most] = h.Buckets[i]
	}
	return out
}

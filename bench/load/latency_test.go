package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// keyFramePackets is a key frame as a packetiser cuts it.
func keyFramePackets(fill byte) (out []*rtp.Packet) {
	unit := func(kind byte, size int) []byte {
		return slices.Concat([]byte{0, 0, 0, 1, 0x60 | kind}, slices.Repeat([]byte{fill}, size))
	}
	data := slices.Concat(unit(7, 20), unit(8, 4), unit(5, 5000))
	cut := rtp.NewPacketizer(1200, 96, 1, &codecs.H264Payloader{}, rtp.NewFixedSequencer(65534), videoRate)
	return cut.Packetize(data, videoStep)
}

// TestKeyFrames: a key frame has the same hash in whatever order its packets come, and none while one is missing.
func TestKeyFrames(t *testing.T) {
	packets := keyFramePackets(1)
	hash := func(packets []*rtp.Packet) (uint64, int) {
		k, found, last := newKeyFrames(), 0, uint64(0)
		for _, p := range packets {
			if key, ok := k.push(p, time.Now()); ok {
				found++
				last = key.hash
			}
		}
		return last, found
	}
	want, found := hash(packets)
	if found != 1 {
		t.Fatalf("%d key frames in %d packets, want 1", found, len(packets))
	}
	mixed := slices.Clone(packets)
	rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	if got, found := hash(mixed); got != want || found != 1 {
		t.Errorf("out of order: %d key frames with hash %x, want 1 with %x", found, got, want)
	}
	for i := range packets {
		if _, found := hash(slices.Delete(slices.Clone(packets), i, i+1)); found != 0 {
			t.Errorf("a key frame without packet %d of %d", i, len(packets))
		}
	}
	if got, _ := hash(keyFramePackets(2)); got == want {
		t.Error("another key frame has the same hash")
	}
}

// TestLatencies: a viewer that is always served later than the others is seen to be, although its timestamps are its
// own.
func TestLatencies(t *testing.T) {
	began := time.Now()
	seen := func(base uint32, late time.Duration) Window {
		w := Window{keys: []keyFrame{{hash: 1, timestamp: base, at: began.Add(late)}}}
		for n := range uint32(30) {
			due := began.Add(time.Duration(n) * time.Second / 30)
			w.arrivals = append(w.arrivals,
				arrival{due.Add(late), base + n*videoStep, false},
				arrival{due.Add(late + time.Millisecond), base + n*videoStep, true})
		}
		return w
	}
	got, err := Latencies([]Window{seen(1000, 0), seen(1<<32-5, 20*time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Frames)
	if len(got.Packets) != 120 || len(got.Frames) != 60 {
		t.Fatalf("%d packets and %d frames, want 120 and 60", len(got.Packets), len(got.Frames))
	}
	near := func(got, want float64) bool { return got > want-0.1 && got < want+0.1 } // a tick is 0.01 ms
	if !near(slices.Min(got.Packets), 0) || !near(got.Frames[0], 1) || !near(got.Frames[59], 21) {
		t.Errorf("fastest packet %.2f, first frame %.2f, last %.2f ms; want 0, 1, 21", slices.Min(got.Packets),
			got.Frames[0], got.Frames[59])
	}
	stranger := seen(5, 0)
	stranger.keys[0].hash = 2
	if _, err := Latencies([]Window{seen(1000, 0), stranger}); err == nil {
		t.Error("a viewer with an unknown key frame was placed all the same")
	}
}

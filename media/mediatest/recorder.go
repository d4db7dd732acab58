package mediatest

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// recorder is a media.Sink that checks each call and records each frame. Its fields belong to the goroutine that calls
// the sink, and to the test once Run has returned.
type recorder struct {
	t        *testing.T
	name     string
	begin    time.Time
	busy     sync.Mutex    // held during a call, to detect concurrent ones
	complete chan struct{} // closed when each track has shown a frame

	seed   maphash.Seed
	tracks []media.Track
	frames []record
	last   map[media.Codec]time.Duration // PTS of the last frame
}

// record is a frame and its fingerprint when it was written.
type record struct {
	frame *media.Frame
	print uint64
}

func newRecorder(t *testing.T, name string) *recorder {
	return &recorder{
		t: t, name: name, begin: time.Now(), complete: make(chan struct{}),
		seed: maphash.MakeSeed(), last: map[media.Codec]time.Duration{},
	}
}

// errorf reports a broken promise under the name of the run.
func (r *recorder) errorf(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf(r.name+": "+format, args...)
}

// enter waits for a call in progress, and reports that it had to.
func (r *recorder) enter(call string) (leave func()) {
	if !r.busy.TryLock() {
		r.errorf("%s was called while another call to the sink was under way", call)
		r.busy.Lock()
	}
	return r.busy.Unlock
}

// Tracks checks what the source announces.
func (r *recorder) Tracks(tracks []media.Track) {
	defer r.enter("Tracks")()
	video, audio := 0, 0
	for _, track := range tracks {
		if track.Codec.Video() {
			video++
		} else {
			audio++
		}
		if track.Codec == "" {
			r.errorf("a track has no codec: %+v", track)
		}
	}
	if video > 1 || audio > 1 || video+audio == 0 {
		r.errorf("%d video and %d audio tracks, want one or two, and at most one of each", video, audio)
	}
	r.tracks = slices.Clone(tracks)
}

// Write checks one frame against its track and against the frames before it.
func (r *recorder) Write(f *media.Frame) {
	defer r.enter("Write")()
	r.frames = append(r.frames, record{f, r.fingerprint(f)})
	if err := r.check(f); err != nil {
		r.errorf("frame %d (%s, PTS %v): %v", len(r.frames)-1, f.Codec, f.PTS, err)
	}
	before := r.missing()
	r.last[f.Codec] = f.PTS
	if len(before) > 0 && len(r.missing()) == 0 {
		close(r.complete)
	}
}

// missing returns the codecs of the tracks that have shown no frame yet.
func (r *recorder) missing() []media.Codec {
	var none []media.Codec
	for _, track := range r.tracks {
		if _, ok := r.last[track.Codec]; !ok {
			none = append(none, track.Codec)
		}
	}
	return none
}

// check returns what is wrong with f, or nil.
func (r *recorder) check(f *media.Frame) error {
	announced := func(track media.Track) bool { return track.Codec == f.Codec }
	last, again := r.last[f.Codec]
	since := time.Since(r.begin)
	switch {
	case r.tracks == nil:
		return fmt.Errorf("written before Tracks was called")
	case !slices.ContainsFunc(r.tracks, announced):
		return fmt.Errorf("Tracks did not announce this codec")
	case f.PTS < 0:
		return fmt.Errorf("PTS is negative")
	case f.PTS < last:
		return fmt.Errorf("PTS goes back from %v", last)
	case f.PTS > since+ahead:
		return fmt.Errorf("PTS is ahead of the clock: Run began only %v ago", since)
	case f.Captured.IsZero():
		return fmt.Errorf("Captured is not set")
	case !f.Codec.Video():
		return checkAudio(f)
	case !again && !f.Key:
		return fmt.Errorf("the first video frame is not a key frame")
	}
	return checkVideo(f)
}

// unchanged checks that each frame still is what was written. Call it after Run has returned.
func (r *recorder) unchanged() {
	for i, rec := range r.frames {
		if r.fingerprint(rec.frame) != rec.print {
			r.errorf("frame %d (%s, PTS %v) was changed after it was written", i, rec.frame.Codec, rec.frame.PTS)
		}
	}
}

// fingerprint returns a hash of all fields and data of f.
func (r *recorder) fingerprint(f *media.Frame) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	fmt.Fprint(&h, f.Codec, f.PTS, f.Captured, f.Key, len(f.Data))
	for _, unit := range f.Data {
		fmt.Fprint(&h, len(unit))
		h.Write(unit)
	}
	return h.Sum64()
}

func checkAudio(f *media.Frame) error {
	if f.Key {
		return fmt.Errorf("an audio frame is marked as key frame")
	}
	if len(f.Data) != 1 || len(f.Data[0]) == 0 {
		return fmt.Errorf("%d units of %d bytes, want one that is not empty", len(f.Data), f.Size())
	}
	return nil
}

func checkVideo(f *media.Frame) error {
	if len(f.Data) == 0 {
		return fmt.Errorf("no data")
	}
	for i, unit := range f.Data {
		if len(unit) == 0 {
			return fmt.Errorf("unit %d is empty", i)
		}
	}
	switch f.Codec {
	case media.H264:
		return checkUnits(f, func(b []byte) byte { return b[0] & 31 }, 5, 5, 7, 8)
	case media.H265:
		return checkUnits(f, func(b []byte) byte { return b[0] >> 1 & 63 }, 16, 23, 32, 33, 34)
	}
	if len(f.Data) != 1 {
		return fmt.Errorf("%d units, want 1", len(f.Data))
	}
	return nil
}

// checkUnits checks that f has no start codes, that a key frame, and no other frame, begins with the parameter sets in
// sets, and that it has a slice of a type from lo to hi (H.264 table 7-1, H.265 table 7-1).
func checkUnits(f *media.Frame, kind func([]byte) byte, lo, hi byte, sets ...byte) error {
	intra := false
	kinds := []byte{}
	for i, unit := range f.Data {
		if bytes.HasPrefix(unit, []byte{0, 0, 1}) || bytes.HasPrefix(unit, []byte{0, 0, 0, 1}) {
			return fmt.Errorf("unit %d begins with a start code", i)
		}
		k := kind(unit)
		kinds = append(kinds, k)
		intra = intra || lo <= k && k <= hi
	}
	if intra != f.Key {
		return fmt.Errorf("Key is %t, but its unit types are %v", f.Key, kinds)
	}
	if f.Key && !bytes.HasPrefix(kinds, sets) {
		return fmt.Errorf("unit types of a key frame are %v, want them to begin with %v", kinds, sets)
	}
	return nil
}

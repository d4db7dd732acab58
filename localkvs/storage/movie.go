package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

// A fragment ends with the first key frame after it has lasted a second, and in any case at one of these limits.
const (
	minFragment      = time.Second
	maxFragment      = 5 * time.Second
	maxFragmentBytes = 4 << 20
)

// unit is one access unit of H.264.
type unit struct {
	payload  []byte // NAL units, each after its length in four bytes (ISO/IEC 14496-15, 5.3.4.2)
	key      bool
	sps, pps []byte // nil when there are none
}

// parseUnit parses an access unit in Annex B form.
func parseUnit(b []byte) (unit, error) {
	var nals h264.AnnexB
	if err := nals.Unmarshal(b); err != nil {
		return unit{}, err
	}
	var u unit
	for _, n := range nals {
		switch h264.NALUType(n[0] & 0x1f) {
		case h264.NALUTypeSPS:
			u.sps = n
		case h264.NALUTypePPS:
			u.pps = n
		case h264.NALUTypeIDR:
			u.key = true
		}
	}
	var err error
	u.payload, err = h264.AVCC(nals).Marshal()
	return u, err
}

// movie is one fragmented MP4 file, playable up to its last fragment at any time. It begins with the first key frame
// that has parameter sets; before that there is no file.
type movie struct {
	dir, name string
	file      *os.File
	zero      time.Time // arrival of the first key frame
	fragment  time.Time // arrival of the first sample of the current fragment
	video     track
	audio     track
	bytes     int    // in the current fragment
	sequence  uint32 // of fragments
	count     int    // samples
	buf       seekablebuffer.Buffer
}

// track is one track of the file. A sample waits in pending until the next one determines its duration.
type track struct {
	id, rate int
	begun    bool
	stamp    uint32 // RTP time of pending
	at       int64  // start of pending, in ticks since the beginning of the file
	last     int64  // duration of the previous sample
	pending  *fmp4.Sample
	base     int64 // at of samples[0]
	samples  []*fmp4.Sample
}

func newMovie(dir, name string) *movie {
	return &movie{
		dir: dir, name: name,
		video: track{id: 1, rate: videoRate, last: videoRate / 25},
		audio: track{id: 2, rate: audioRate, last: audioRate / 50},
	}
}

// picture adds an access unit with its RTP time, arrived at now. Parameter sets stay in it, since they may change, and
// moov cannot.
func (m *movie) picture(u unit, stamp uint32, now time.Time) error {
	if m.file == nil {
		if !u.key || u.sps == nil || u.pps == nil {
			return nil
		}
		if err := m.open(u, now); err != nil {
			return err
		}
	}
	age := now.Sub(m.fragment)
	if u.key && age >= minFragment || age >= maxFragment || m.bytes >= maxFragmentBytes {
		if err := m.flush(); err != nil {
			return err
		}
		m.fragment = now
	}
	m.add(&m.video, &fmp4.Sample{Payload: u.payload, IsNonSyncSample: !u.key}, stamp, now)
	return nil
}

// sound adds an Opus packet.
func (m *movie) sound(packet []byte, stamp uint32, now time.Time) error {
	if m.file == nil || len(packet) == 0 {
		return nil
	}
	if m.bytes >= maxFragmentBytes || now.Sub(m.fragment) >= maxFragment {
		if err := m.flush(); err != nil {
			return err
		}
		m.fragment = now
	}
	m.add(&m.audio, &fmp4.Sample{Payload: packet}, stamp, now)
	return nil
}

// open creates the file and writes moov.
func (m *movie) open(u unit, now time.Time) error {
	init := fmp4.Init{Tracks: []*fmp4.InitTrack{
		{ID: m.video.id, TimeScale: videoRate, Codec: &codecs.H264{SPS: u.sps, PPS: u.pps}},
		{ID: m.audio.id, TimeScale: audioRate, Codec: &codecs.Opus{ChannelCount: 2}},
	}}
	m.buf.Reset()
	if err := init.Marshal(&m.buf); err != nil {
		return fmt.Errorf("parameter sets: %w", err)
	}
	path := filepath.Join(m.dir, m.name+"-"+now.UTC().Format("20060102T150405.000Z")+".mp4")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	m.file, m.zero, m.fragment = file, now, now
	_, err = file.Write(m.buf.Bytes())
	return err
}

// add completes the previous sample with its duration, and keeps s until its own is known. The first sample of a track
// is placed by its arrival, the others by their RTP times.
func (m *movie) add(t *track, s *fmp4.Sample, stamp uint32, now time.Time) {
	at := t.at + int64(int32(stamp-t.stamp))
	if !t.begun {
		t.begun, at = true, int64(now.Sub(m.zero))*int64(t.rate)/int64(time.Second)
	}
	if t.pending != nil {
		at = max(at, t.at+1) // a zero duration makes players divide by zero
		t.complete(at - t.at)
	}
	t.pending, t.at, t.stamp = s, at, stamp
	m.bytes += len(s.Payload)
	m.count++
}

func (t *track) complete(duration int64) {
	if len(t.samples) == 0 {
		t.base = t.at
	}
	t.last, t.pending.Duration = duration, uint32(min(duration, 1<<31))
	t.samples = append(t.samples, t.pending)
	t.pending = nil
}

// flush writes the complete samples as one fragment.
func (m *movie) flush() error {
	part := fmp4.Part{SequenceNumber: m.sequence}
	for _, t := range []*track{&m.video, &m.audio} {
		if len(t.samples) > 0 {
			part.Tracks = append(part.Tracks, &fmp4.PartTrack{ID: t.id, BaseTime: uint64(t.base), Samples: t.samples})
			t.samples = nil
		}
	}
	m.bytes = 0
	if len(part.Tracks) == 0 {
		return nil
	}
	m.sequence++
	m.buf.Reset()
	if err := part.Marshal(&m.buf); err != nil {
		return fmt.Errorf("fragment: %w", err)
	}
	_, err := m.file.Write(m.buf.Bytes())
	return err
}

// finish writes the last fragment and closes the file. The final sample of a track gets the duration of the one before
// it.
func (m *movie) finish() error {
	if m.file == nil {
		return nil
	}
	for _, t := range []*track{&m.video, &m.audio} {
		if t.pending != nil {
			t.complete(t.last)
		}
	}
	err := m.flush()
	if e := m.file.Close(); err == nil {
		err = e
	}
	return err
}

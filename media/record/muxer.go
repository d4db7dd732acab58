package record

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/kvsagent/kvsagent/media"
)

// A fragment ends at a key frame when it has at least minFragment, and in any case at maxFragment or maxFragmentBytes.
const (
	minFragment      = 500 * time.Millisecond
	maxFragment      = 2 * time.Second
	maxFragmentBytes = 4 << 20
)

// muxer turns frames into the boxes of a fragmented MP4. Writer.run owns it.
type muxer struct {
	out io.Writer

	wantVideo bool
	wantAudio bool
	channels  int           // of Opus
	refused   []media.Codec // already logged
	video     *track        // nil until the moov is written, or when there is none
	audio     *track        // see video
	sps, pps  []byte        // those in the moov
	changed   bool          // there were others since
	zero      time.Duration // PTS of the first frame of the file
	begin     time.Duration // PTS of the first frame of the present fragment
	bytes     int           // in the present fragment
	sequence  uint32        // of fragments
	buf       seekablebuffer.Buffer
}

// track is one track of the file. A frame waits in pending until the next one determines its duration.
type track struct {
	id      int
	scale   int64 // ticks a second
	last    int64 // duration of the last complete sample in ticks; used for the final one
	pending *fmp4.Sample
	at      int64 // of pending, in ticks
	base    int64 // of samples[0], in ticks
	samples []*fmp4.Sample
}

// tracks takes the source's tracks. Once the moov is written they can only be compared.
func (m *muxer) tracks(tracks []media.Track, log *slog.Logger) {
	video, audio := false, false
	for _, t := range tracks {
		switch t.Codec {
		case media.H264:
			video = true
		case media.Opus:
			audio = true
			if m.channels = t.Channels; m.channels == 0 {
				m.channels = 2
			}
		default:
			m.refuse(t.Codec, log)
		}
	}
	if m.started() {
		if video && m.video == nil || audio && m.audio == nil {
			log.Warn("recording goes on without a track that came after its start; hint: start another recording")
		}
		return
	}
	m.wantVideo, m.wantAudio = video, audio
}

func (m *muxer) refuse(c media.Codec, log *slog.Logger) {
	for _, said := range m.refused {
		if said == c {
			return
		}
	}
	m.refused = append(m.refused, c)
	log.Warn("recording leaves out a track that this MP4 writer cannot hold; hint: H264 and opus can be recorded",
		"codec", c)
}

func (m *muxer) started() bool { return m.video != nil || m.audio != nil }

// write takes one frame and reports whether it was recorded.
func (m *muxer) write(f *media.Frame) (bool, error) {
	if !m.started() {
		if err := m.start(f); err != nil || !m.started() {
			return false, err
		}
	}
	var t *track
	switch f.Codec {
	case media.H264:
		t = m.video
	case media.Opus:
		t = m.audio
	}
	if t == nil || f.PTS < m.zero || len(f.Data) == 0 {
		return false, nil
	}
	s, err := m.sample(f)
	if err != nil {
		return false, err
	}
	t.add(s, int64((f.PTS-m.zero)/time.Second)*t.scale+int64((f.PTS-m.zero)%time.Second)*t.scale/int64(time.Second))
	age := f.PTS - m.begin
	if age >= maxFragment || m.bytes >= maxFragmentBytes || f.Key && age >= minFragment {
		if err := m.flush(); err != nil {
			return true, err
		}
		m.begin = f.PTS
	}
	m.bytes += len(s.Payload)
	return true, nil
}

// start writes ftyp and moov if f is a frame that a recording can begin with.
func (m *muxer) start(f *media.Frame) error {
	var init fmp4.Init
	switch {
	case m.wantVideo && f.Codec == media.H264 && f.Key:
		m.sps, m.pps = parameterSets(f.Data)
		if m.sps == nil || m.pps == nil {
			return nil
		}
		m.video = &track{id: 1, scale: 90000, last: 3600}
		init.Tracks = append(init.Tracks, &fmp4.InitTrack{ID: 1, TimeScale: 90000,
			Codec: &codecs.H264{SPS: m.sps, PPS: m.pps}})
	case m.wantAudio && !m.wantVideo && f.Codec == media.Opus:
	default:
		return nil
	}
	if m.wantAudio {
		m.audio = &track{id: 2, scale: 48000, last: 960}
		init.Tracks = append(init.Tracks, &fmp4.InitTrack{ID: 2, TimeScale: 48000,
			Codec: &codecs.Opus{ChannelCount: m.channels}})
	}
	m.zero, m.begin = f.PTS, f.PTS
	m.buf.Reset()
	if err := init.Marshal(&m.buf); err != nil {
		return fmt.Errorf("moov: %w", err)
	}
	_, err := m.out.Write(m.buf.Bytes())
	return err
}

// sample makes the payload: NAL units, each after its length in four bytes (ISO/IEC 14496-15, 5.3.4.2), or one Opus
// packet. Parameter sets are left out while they match the moov, as avc1 requires. Once they have changed, all stay in,
// which ffmpeg and browsers accept: the moov of a file cannot change.
func (m *muxer) sample(f *media.Frame) (*fmp4.Sample, error) {
	if f.Codec == media.Opus {
		return &fmp4.Sample{Payload: f.Data[0], Duration: uint32(max(0, opus.PacketDuration2(f.Data[0])))}, nil
	}
	m.changed = m.changed || m.foreign(f.Data)
	au := make([][]byte, 0, len(f.Data))
	for _, nal := range f.Data {
		if len(nal) > 0 && (m.changed || !parameterSet(nal)) {
			au = append(au, nal)
		}
	}
	payload, err := h264.AVCC(au).Marshal()
	return &fmp4.Sample{Payload: payload, IsNonSyncSample: !f.Key}, err
}

// foreign reports whether an access unit has parameter sets that are not in the moov.
func (m *muxer) foreign(au [][]byte) bool {
	for _, nal := range au {
		if len(nal) > 0 && parameterSet(nal) && !bytes.Equal(nal, m.sps) && !bytes.Equal(nal, m.pps) {
			return true
		}
	}
	return false
}

func parameterSet(nal []byte) bool {
	t := h264.NALUType(nal[0] & 0x1f)
	return t == h264.NALUTypeSPS || t == h264.NALUTypePPS
}

// add completes the previous sample with its duration and keeps s until its own is known.
func (t *track) add(s *fmp4.Sample, at int64) {
	if t.pending != nil {
		at = max(at, t.at+1) // a zero duration makes players divide by zero
		t.complete(at - t.at)
	}
	t.pending, t.at = s, at
}

func (t *track) complete(duration int64) {
	if len(t.samples) == 0 {
		t.base = t.at
	}
	t.last = duration
	t.pending.Duration = uint32(min(duration, 1<<31))
	t.samples = append(t.samples, t.pending)
	t.pending = nil
}

// flush writes the complete samples as one fragment.
func (m *muxer) flush() error {
	part := fmp4.Part{SequenceNumber: m.sequence}
	for _, t := range []*track{m.video, m.audio} {
		if t != nil && len(t.samples) > 0 {
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
	_, err := m.out.Write(m.buf.Bytes())
	return err
}

// finish writes the last fragment. The final sample of a track gets the duration of the previous one; an Opus packet
// has its own.
func (m *muxer) finish() error {
	for _, t := range []*track{m.video, m.audio} {
		if t == nil || t.pending == nil {
			continue
		}
		duration := t.last
		if t.pending.Duration > 0 {
			duration = int64(t.pending.Duration)
		}
		t.complete(duration)
	}
	if !m.started() {
		return nil
	}
	return m.flush()
}

// parameterSets finds the first SPS and PPS of an access unit, nil when it has none.
func parameterSets(au [][]byte) (sps, pps []byte) {
	for _, nal := range au {
		if len(nal) == 0 {
			continue
		}
		switch t := h264.NALUType(nal[0] & 0x1f); {
		case t == h264.NALUTypeSPS && sps == nil:
			sps = nal
		case t == h264.NALUTypePPS && pps == nil:
			pps = nal
		}
	}
	return sps, pps
}

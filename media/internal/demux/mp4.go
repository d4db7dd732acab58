package demux

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// Limits on the boxes of a fragmented MP4.
const (
	maxHead     = 1 << 20  // bytes in a moov or a moof
	maxFragment = 16 << 20 // bytes in an mdat
	maxSamples  = 20_000   // in one fragment
)

// mp4 is a fragmented MP4 (ISO/IEC 14496-12): ftyp, moov, then pairs of moof and mdat.
type mp4 struct {
	tracks
	r      *bufio.Reader
	byID   map[int]*mp4Track
	params [][]byte // parameter sets from the moov, returned with the first unit of video
	queue  []Unit
}

// mp4Track is a track that is played.
type mp4Track struct {
	codec media.Codec
	scale uint64
	unit  func(payload []byte) ([][]byte, error)
}

func openMP4(br *bufio.Reader) (Stream, error) {
	m := &mp4{r: br, byID: map[int]*mp4Track{}}
	var head []byte
	for {
		kind, box, err := m.box()
		if err != nil {
			return nil, fmt.Errorf("MP4: no moov: %w", err)
		}
		switch kind {
		case "ftyp":
			head = box
		case "moov":
			if err := m.readInit(append(head, box...)); err != nil {
				return nil, fmt.Errorf("MP4: %w", err)
			}
			return m, m.usable("MP4")
		case "mdat":
			return nil, errors.New("MP4 that is not fragmented cannot be read from a pipe; hint: -movflags " +
				"frag_every_frame+empty_moov+default_base_moof")
		}
	}
}

// box reads one complete box. It skips those that are not needed.
func (m *mp4) box() (kind string, box []byte, err error) {
	var h [8]byte
	if _, err := io.ReadFull(m.r, h[:]); err != nil {
		return "", nil, ended(err)
	}
	size, kind := int64(binary.BigEndian.Uint32(h[:])), string(h[4:])
	limit := int64(maxHead)
	if kind == "mdat" {
		limit = maxFragment
	}
	if size < 8 || size > limit {
		return "", nil, fmt.Errorf("box %q of %d bytes", kind, size)
	}
	switch kind {
	case "ftyp", "moov", "moof", "mdat":
		box = make([]byte, size)
		copy(box, h[:])
		_, err = io.ReadFull(m.r, box[8:])
	default:
		_, err = io.CopyN(io.Discard, m.r, size-8)
	}
	return kind, box, ended(err)
}

func (m *mp4) readInit(b []byte) error {
	// The library knows H.264 with parameter sets outside of the stream only (avc1); a decoder needs no difference.
	b = bytes.ReplaceAll(b, []byte("avc3"), []byte("avc1"))
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(b)); err != nil {
		return err
	}
	byKind := map[bool]int{}
	for _, t := range init.Tracks {
		track := &mp4Track{scale: uint64(t.TimeScale)}
		mt := m.track(track, t.Codec)
		if track.codec = mt.Codec; mt.Codec == "" {
			m.left = append(m.left, fmt.Sprintf("%T", t.Codec)[len("*codecs."):])
			continue
		}
		if m.add(mt) {
			delete(m.byID, byKind[mt.Codec.Video()])
			m.byID[t.ID], byKind[mt.Codec.Video()] = track, t.ID
		}
	}
	return nil
}

// track translates a codec.
func (m *mp4) track(t *mp4Track, codec codecs.Codec) media.Track {
	whole := func(b []byte) ([][]byte, error) { return [][]byte{b}, nil }
	t.unit = whole
	switch c := codec.(type) {
	case *codecs.H264:
		t.unit = func(b []byte) ([][]byte, error) { return h264.SplitLengths(b, 4) }
		m.params = [][]byte{c.SPS, c.PPS}
		return media.Track{Codec: media.H264, SPS: c.SPS, PPS: c.PPS}
	case *codecs.H265:
		t.unit = func(b []byte) ([][]byte, error) { return h264.SplitLengths(b, 4) }
		m.params = [][]byte{c.VPS, c.SPS, c.PPS}
		return media.Track{Codec: media.H265}
	case *codecs.VP9:
		return media.Track{Codec: media.VP9}
	case *codecs.AV1:
		return media.Track{Codec: media.AV1}
	case *codecs.Opus:
		if c.ChannelCount <= 2 {
			return media.Track{Codec: media.Opus, Channels: c.ChannelCount}
		}
	case *codecs.MPEG4Audio:
		t.unit = func(b []byte) ([][]byte, error) {
			framed, err := adts(&c.Config, b)
			return [][]byte{framed}, err
		}
		return media.Track{Codec: es.ADTS}
	case *codecs.MPEG1Audio:
		return media.Track{Codec: es.MPA}
	case *codecs.AC3:
		return media.Track{Codec: es.AC3}
	}
	return media.Track{}
}

func (m *mp4) Next() (Unit, error) {
	for len(m.queue) == 0 {
		if err := m.fragment(); err != nil {
			return Unit{}, err
		}
	}
	u := m.queue[0]
	m.queue = m.queue[1:]
	if u.Codec.Video() && m.params != nil {
		u.Data = append(m.params, u.Data...)
		m.params = nil
	}
	return u, nil
}

// fragment reads up to the end of the next mdat and lists its samples in decoding order.
func (m *mp4) fragment() error {
	var moof []byte
	for {
		kind, box, err := m.box()
		if err != nil {
			return err
		}
		if kind == "moof" {
			moof = box
		}
		if kind == "mdat" && moof != nil {
			return m.samples(moof, box)
		}
	}
}

func (m *mp4) samples(moof, mdat []byte) error {
	if n := countSamples(moof); n > maxSamples {
		return fmt.Errorf("MP4: fragment of %d samples", n)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(append(moof, mdat...)); err != nil {
		return fmt.Errorf("MP4: damaged fragment: %w", err)
	}
	type timed struct {
		Unit
		dts time.Duration
	}
	var list []timed
	for _, part := range parts {
		for _, pt := range part.Tracks {
			t := m.byID[pt.ID]
			if t == nil {
				continue
			}
			dts := pt.BaseTime
			for _, s := range pt.Samples {
				data, err := t.unit(s.Payload)
				if err != nil {
					return fmt.Errorf("MP4: damaged sample: %w", err)
				}
				pts := scaled(uint64(max(0, int64(dts)+int64(s.PTSOffset))), t.scale, 1)
				list = append(list, timed{Unit{Codec: t.codec, PTS: pts, Data: data}, scaled(dts, t.scale, 1)})
				dts += uint64(s.Duration)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b timed) int { return cmp.Compare(a.dts, b.dts) })
	for _, u := range list {
		m.queue = append(m.queue, u.Unit)
	}
	return nil
}

// countSamples adds up the sample counts of the truns of a moof. A trun of identical samples takes no bytes for them.
func countSamples(moof []byte) (n uint64) {
	for kind, body := range boxes(moof[8:]) {
		if kind != "traf" {
			continue
		}
		for kind, body := range boxes(body) {
			if kind == "trun" && len(body) >= 8 {
				n += uint64(binary.BigEndian.Uint32(body[4:]))
			}
		}
	}
	return n
}

// boxes yields the boxes of b up to the first damaged one.
func boxes(b []byte) func(yield func(kind string, body []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for len(b) >= 8 {
			size := binary.BigEndian.Uint32(b)
			if size < 8 || uint64(size) > uint64(len(b)) || !yield(string(b[4:8]), b[8:size]) {
				return
			}
			b = b[size:]
		}
	}
}

// adts prepends a header to a frame of AAC.
func adts(c *mpeg4audio.AudioSpecificConfig, au []byte) ([]byte, error) {
	return mpeg4audio.ADTSPackets{{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: c.SampleRate, ChannelConfig: c.ChannelConfig, AU: au,
	}}.Marshal()
}

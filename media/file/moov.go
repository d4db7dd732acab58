package file

import (
	"errors"
	"fmt"

	"github.com/abema/go-mp4"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// path is short for a box path.
func path(types ...mp4.BoxType) mp4.BoxPath { return types }

// payload reads the first box at a path below parent; ok is false when there is none.
func payload[T any](m *mp4File, parent *mp4.BoxInfo, types ...mp4.BoxType) (box T, ok bool, err error) {
	boxes, err := mp4.ExtractBox(m.f, parent, path(types...))
	if err != nil || len(boxes) == 0 {
		return box, false, err
	}
	if boxes[0].Size > maxMoov {
		return box, false, fmt.Errorf("box %s of %d bytes", boxes[0].Type, boxes[0].Size)
	}
	all, err := mp4.ExtractBoxWithPayload(m.f, parent, path(types...))
	if err != nil {
		return box, false, err
	}
	box, ok = all[0].Payload.(T)
	return box, ok, nil
}

// readTracks selects the tracks to play.
func (m *mp4File) readTracks(moov *mp4.BoxInfo) error {
	movieScale := uint32(1000)
	if mvhd, ok, err := payload[*mp4.Mvhd](m, moov, mp4.BoxTypeMvhd()); err != nil {
		return err
	} else if ok && mvhd.Timescale > 0 {
		movieScale = mvhd.Timescale
	}
	traks, err := mp4.ExtractBox(m.f, moov, path(mp4.BoxTypeTrak()))
	if err != nil {
		return err
	}
	if len(traks) > maxTracks {
		return fmt.Errorf("an MP4 with %d tracks, more than %d", len(traks), maxTracks)
	}
	for _, trak := range traks {
		if err := m.readTrack(trak, movieScale); err != nil {
			return err
		}
	}
	return nil
}

// readTrack selects a track if it is the first of its kind that can be sent.
func (m *mp4File) readTrack(trak *mp4.BoxInfo, movieScale uint32) error {
	hdlr, ok, err := payload[*mp4.Hdlr](m, trak, mp4.BoxTypeMdia(), mp4.BoxTypeHdlr())
	if err != nil || !ok {
		return err
	}
	kind := string(hdlr.HandlerType[:])
	if kind == "vide" && m.video == nil || kind == "soun" && m.audio == nil {
		t, err := m.describe(trak, movieScale)
		if err != nil {
			return err
		}
		if kind == "vide" {
			return m.readVideo(t)
		}
		return m.readAudio(t)
	}
	return nil
}

func (m *mp4File) describe(trak *mp4.BoxInfo, movieScale uint32) (*mp4Track, error) {
	t := &mp4Track{box: trak}
	tkhd, ok, err := payload[*mp4.Tkhd](m, trak, mp4.BoxTypeTkhd())
	if err != nil {
		return nil, err
	}
	if ok {
		t.id = tkhd.TrackID
	}
	mdhd, ok, err := payload[*mp4.Mdhd](m, trak, mp4.BoxTypeMdia(), mp4.BoxTypeMdhd())
	if err != nil {
		return nil, err
	}
	if !ok || mdhd.Timescale == 0 {
		return nil, errors.New("damaged: a track without a time scale")
	}
	t.scale = mdhd.Timescale
	elst, ok, err := payload[*mp4.Elst](m, trak, mp4.BoxTypeEdts(), mp4.BoxTypeElst())
	if err != nil {
		return nil, err
	}
	if ok {
		t.shift = shift(elst, t.scale, movieScale)
	}
	return t, nil
}

// shift returns the effect of an edit list on playing from the beginning (ISO/IEC 14496-12, 8.6.6): empty edits delay
// the track, and the first other edit says where the media starts.
func shift(elst *mp4.Elst, scale, movieScale uint32) int64 {
	delay := int64(0)
	for i := range elst.Entries {
		start := elst.GetMediaTime(i)
		if start >= 0 {
			return delay - start
		}
		length := min(elst.GetSegmentDuration(i), 1<<31)
		delay += int64(length * uint64(scale) / uint64(movieScale))
	}
	return delay
}

// sampleEntry returns the coding of a track: the type of the first box in its stsd.
func (m *mp4File) sampleEntry(t *mp4Track) (string, error) {
	entries, err := mp4.ExtractBox(m.f, t.box,
		path(mp4.BoxTypeMdia(), mp4.BoxTypeMinf(), mp4.BoxTypeStbl(), mp4.BoxTypeStsd(), mp4.BoxTypeAny()))
	if err != nil {
		return "", err
	}
	if len(entries) == 0 {
		return "", errors.New("damaged: a track without a sample description")
	}
	return entries[0].Type.String(), nil
}

func (m *mp4File) readVideo(t *mp4Track) error {
	entry, err := m.sampleEntry(t)
	if err != nil {
		return err
	}
	if entry != "avc1" {
		return fmt.Errorf("video is %s, not H.264 (avc1); hint: ffmpeg -i FILE -c:v libx264 -profile:v baseline -c:a "+
			"libopus OUT.mp4", codingName(entry))
	}
	avcC, ok, err := payload[*mp4.AVCDecoderConfiguration](m, t.box, mp4.BoxTypeMdia(), mp4.BoxTypeMinf(),
		mp4.BoxTypeStbl(),
		mp4.BoxTypeStsd(), mp4.BoxTypeAvc1(), mp4.BoxTypeAvcC())
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("damaged: H.264 without its configuration (avcC)")
	}
	var params h264.Params
	for _, set := range append(avcC.SequenceParameterSets, avcC.PictureParameterSets...) {
		params.Set(set.NALUnit)
	}
	t.lengthSize = int(avcC.LengthSizeMinusOne) + 1
	t.media = media.Track{Codec: media.H264, SPS: params.SPS(), PPS: params.PPS()}
	t.media.Width, t.media.Height = params.Size()
	m.video = t
	return nil
}

func (m *mp4File) readAudio(t *mp4Track) error {
	entry, err := m.sampleEntry(t)
	if err != nil {
		return err
	}
	if entry == "mp4a" && m.foreign {
		return m.readAAC(t)
	}
	if entry != "Opus" {
		m.silent = noSound(codingName(entry) + " cannot be sent to browsers")
		return nil
	}
	opus, ok, err := payload[*mp4.AudioSampleEntry](m, t.box, mp4.BoxTypeMdia(), mp4.BoxTypeMinf(), mp4.BoxTypeStbl(),
		mp4.BoxTypeStsd(), mp4.BoxTypeOpus())
	if err != nil {
		return err
	}
	if !ok || opus.ChannelCount < 1 || opus.ChannelCount > 2 {
		m.silent = noSound("Opus with neither one nor two channels")
		return nil
	}
	t.media = media.Track{Codec: media.Opus, Channels: int(opus.ChannelCount)}
	m.audio, m.silent = t, ""
	return nil
}

// readAAC prepares AAC for a transcoder, which needs the configuration (ISO/IEC 14496-1, 7.2.6.7) in a header before
// each sample.
func (m *mp4File) readAAC(t *mp4Track) error {
	esds, ok, err := payload[*mp4.Esds](m, t.box, mp4.BoxTypeMdia(), mp4.BoxTypeMinf(), mp4.BoxTypeStbl(),
		mp4.BoxTypeStsd(), mp4.BoxTypeMp4a(), mp4.BoxTypeEsds())
	if err != nil || !ok {
		m.silent = noSound("AAC without its configuration")
		return err
	}
	for _, d := range esds.Descriptors {
		var c mpeg4audio.AudioSpecificConfig
		if d.Tag == mp4.DecSpecificInfoTag && c.Unmarshal(d.Data) == nil {
			t.aac, t.media = &c, media.Track{Codec: es.ADTS}
			m.audio, m.silent = t, ""
			return nil
		}
	}
	m.silent = noSound("AAC without its configuration")
	return nil
}

// readDefaults reads the defaults for what fragments leave out (trex, ISO/IEC 14496-12, 8.8.3).
func (m *mp4File) readDefaults(moov *mp4.BoxInfo) error {
	all, err := mp4.ExtractBoxWithPayload(m.f, moov, path(mp4.BoxTypeMvex(), mp4.BoxTypeTrex()))
	if err != nil {
		return err
	}
	for _, box := range all {
		trex, ok := box.Payload.(*mp4.Trex)
		if !ok {
			continue
		}
		if t := m.track(trex.TrackID); t != nil {
			t.defaults = *trex
		}
	}
	return nil
}

// track returns the played track with an id, or nil.
func (m *mp4File) track(id uint32) *mp4Track {
	for _, t := range []*mp4Track{m.video, m.audio} {
		if t != nil && t.id == id {
			return t
		}
	}
	return nil
}

// codingName returns the usual name for the content of a sample entry.
func codingName(entry string) string {
	switch entry {
	case "hvc1", "hev1":
		return "H.265 (" + entry + ")"
	case "mp4a":
		return "AAC (mp4a)"
	case "encv", "enca":
		return "encrypted (" + entry + ")"
	}
	return entry
}

package file

import (
	"cmp"
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
	var unfit error // why the first video track that cannot be sent cannot
	for _, trak := range traks {
		var no *unfitError
		if err := m.readTrack(trak, movieScale); errors.As(err, &no) {
			if unfit == nil {
				unfit = err
			}
		} else if err != nil {
			return err
		}
	}
	if m.video == nil {
		return unfit
	}
	return m.video.upright()
}

// unfitError says why a track cannot be sent. Another one may do: a thumbnail often comes first.
type unfitError struct{ error }

// readTrack selects a track if it is the first of its kind that can be sent.
func (m *mp4File) readTrack(trak *mp4.BoxInfo, movieScale uint32) error {
	hdlr, ok, err := payload[*mp4.Hdlr](m, trak, mp4.BoxTypeMdia(), mp4.BoxTypeHdlr())
	if err != nil || !ok {
		return err
	}
	kind := string(hdlr.HandlerType[:])
	if kind == "vide" || kind == "soun" && m.audio == nil {
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
		t.id, t.matrix = tkhd.TrackID, tkhd.Matrix
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
	if entry != "avc1" && entry != "avc3" {
		return &unfitError{fmt.Errorf("video is %s, not H.264 (avc1); hint: ffmpeg -i FILE -c:v libx264 -profile:v "+
			"baseline -c:a libopus OUT.mp4", codingName(entry))}
	}
	avcC, ok, err := payload[*mp4.AVCDecoderConfiguration](m, t.box, mp4.BoxTypeMdia(), mp4.BoxTypeMinf(),
		mp4.BoxTypeStbl(), mp4.BoxTypeStsd(), mp4.StrToBoxType(entry), mp4.BoxTypeAvcC())
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
	if t.samples, err = m.sampleCount(t); err != nil {
		return err
	}
	if m.video == nil || t.outranks(m.video) {
		m.video = t
	}
	return nil
}

// avc3 is H.264 with its parameter sets in the stream (ISO/IEC 14496-15, 5.3.2), which the library does not know.
func init() { mp4.AddAnyTypeBoxDef(&mp4.VisualSampleEntry{}, mp4.StrToBoxType("avc3")) }

// sampleCount returns how many samples the tables have of a track: none when they are in fragments.
func (m *mp4File) sampleCount(t *mp4Track) (uint32, error) {
	stsz, ok, err := payload[*mp4.Stsz](m, t.box, mp4.BoxTypeMdia(), mp4.BoxTypeMinf(), mp4.BoxTypeStbl(),
		mp4.BoxTypeStsz())
	if err != nil || !ok {
		return 0, err
	}
	return stsz.SampleCount, nil
}

// outranks reports whether an earlier track is a thumbnail in comparison: a single picture, or a smaller one.
func (t *mp4Track) outranks(earlier *mp4Track) bool {
	if single := earlier.samples == 1; single != (t.samples == 1) {
		return single
	}
	area := func(t *mp4Track) int { return t.media.Width * t.media.Height }
	return area(earlier) > 0 && area(t) > area(earlier)
}

// upright returns an error when the pictures of a track are to be turned or mirrored (ISO/IEC 14496-12, 6.2.2): they
// would be shown lying on their side.
func (t *mp4Track) upright() error {
	a, b, c, d := t.matrix[0], t.matrix[1], t.matrix[3], t.matrix[4]
	if b == 0 && c == 0 && a >= 0 && d >= 0 {
		return nil
	}
	turn := "turned by other than 90 degrees, or mirrored"
	switch sign := func(v int32) int { return cmp.Compare(v, 0) }; [4]int{sign(a), sign(b), sign(c), sign(d)} {
	case [4]int{0, 1, -1, 0}:
		turn = "turned by 90 degrees"
	case [4]int{-1, 0, 0, -1}:
		turn = "turned by 180 degrees"
	case [4]int{0, -1, 1, 0}:
		turn = "turned by 270 degrees"
	}
	return fmt.Errorf("the pictures are to be shown %s, which viewers would not do; hint: ffmpeg turns them: ffmpeg "+
		"-i FILE -c:v libx264 -profile:v baseline -c:a libopus OUT.mp4", turn)
}

func (m *mp4File) readAudio(t *mp4Track) error {
	entry, err := m.sampleEntry(t)
	if err != nil {
		return err
	}
	if entry == "mp4a" {
		return m.readMPEG(t)
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

// readMPEG prepares AAC and MP3 for a transcoder, if there is one. AAC needs the configuration (ISO/IEC 14496-1,
// 7.2.6.7) in a header before each sample.
func (m *mp4File) readMPEG(t *mp4Track) error {
	esds, ok, err := payload[*mp4.Esds](m, t.box, mp4.BoxTypeMdia(), mp4.BoxTypeMinf(), mp4.BoxTypeStbl(),
		mp4.BoxTypeStsd(), mp4.BoxTypeMp4a(), mp4.BoxTypeEsds())
	if err != nil {
		return err
	}
	kind, config := byte(0x40), []byte(nil)
	if ok {
		for _, d := range esds.Descriptors {
			switch {
			case d.Tag == mp4.DecoderConfigDescrTag && d.DecoderConfigDescriptor != nil:
				kind = d.DecoderConfigDescriptor.ObjectTypeIndication
			case d.Tag == mp4.DecSpecificInfoTag:
				config = d.Data
			}
		}
	}
	name, track := objectType(kind), media.Track{Codec: es.ADTS}
	if name == mp3 {
		track.Codec = es.MPA
	}
	var c mpeg4audio.AudioSpecificConfig
	switch {
	case !m.foreign || name != aac && name != mp3:
		m.silent = noSound(name + " (mp4a) cannot be sent to browsers")
		return nil
	case name == aac && c.Unmarshal(config) != nil:
		m.silent = noSound("AAC without its configuration")
		return nil
	case name == aac:
		t.aac = &c
	}
	t.media, m.audio, m.silent = track, t, ""
	return nil
}

const (
	aac = "AAC"
	mp3 = "MP3"
)

// objectType names the content of an mp4a (objectTypeIndication, as registered at mp4ra.org).
func objectType(kind byte) string {
	switch kind {
	case 0x40, 0x66, 0x67, 0x68:
		return aac
	case 0x69, 0x6b:
		return mp3
	case 0xa5:
		return "AC-3"
	case 0xa6:
		return "E-AC-3"
	case 0xa9, 0xac:
		return "DTS"
	case 0xdd:
		return "Vorbis"
	}
	return fmt.Sprintf("sound of type %#x", kind)
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
	case ".mp3":
		return "MP3"
	case "jpeg", "mjpa", "mjpb":
		return "JPEG (" + entry + ")"
	case "encv", "enca":
		return "encrypted (" + entry + ")"
	}
	return entry
}

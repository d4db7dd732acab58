package file

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/abema/go-mp4"
)

// maxRun limits the samples of one trun, which can claim four billion in no bytes at all. Some minutes of video are
// 10,000.
const maxRun = 100_000

// Flags of trun (ISO/IEC 14496-12, 8.8.8).
const (
	trunDataOffset = 0x000001
	trunDuration   = 0x000100
	trunSize       = 0x000200
)

// fragments is the index of a fragmented MP4: the entries of one moof at a time.
type fragments struct {
	m     *mp4File
	first int64 // where the first moof is
	at    int64 // where the next box at the top level is
	queue []entry
}

func (x *fragments) rewind() { x.at, x.queue = x.first, nil }

func (x *fragments) next() (entry, error) {
	for len(x.queue) == 0 {
		if x.at >= x.m.size {
			return entry{}, io.EOF
		}
		box, err := boxAt(x.m.f, x.at, x.m.size)
		if err != nil {
			// Cut off in the middle of a fragment, as after a crash: the complete ones are played.
			return entry{}, io.EOF
		}
		x.at += int64(box.Size)
		if box.Type == mp4.BoxTypeMoof() {
			if err := x.read(box); err != nil {
				return entry{}, fmt.Errorf("damaged fragment at byte %d: %w", box.Offset, err)
			}
		}
	}
	e := x.queue[0]
	x.queue = x.queue[1:]
	return e, nil
}

// read lists the samples of one moof in order of time. Samples beyond the end of the file were never written.
func (x *fragments) read(moof *mp4.BoxInfo) error {
	if moof.Size > maxMoof {
		return fmt.Errorf("moof of %d bytes", moof.Size)
	}
	trafs, err := mp4.ExtractBox(x.m.f, moof, path(mp4.BoxTypeTraf()))
	if err != nil {
		return err
	}
	if len(trafs) > maxTracks {
		return fmt.Errorf("%d track fragments", len(trafs))
	}
	for _, traf := range trafs {
		if err := x.readTrack(moof, traf); err != nil {
			return err
		}
	}
	x.queue = slices.DeleteFunc(x.queue, func(e entry) bool {
		return e.offset+uint64(e.size) > uint64(x.m.size)
	})
	slices.SortStableFunc(x.queue, func(a, b entry) int {
		return cmp.Compare(a.track.time(a.dts+a.track.shift), b.track.time(b.dts+b.track.shift))
	})
	return nil
}

// readTrack lists the samples of one track of one moof.
func (x *fragments) readTrack(moof, traf *mp4.BoxInfo) error {
	tfhd, ok, err := payload[*mp4.Tfhd](x.m, traf, mp4.BoxTypeTfhd())
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("no tfhd")
	}
	track := x.m.track(tfhd.TrackID)
	if track == nil {
		return nil
	}
	tfdt, ok, err := payload[*mp4.Tfdt](x.m, traf, mp4.BoxTypeTfdt())
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("no tfdt, which says when the fragment begins")
	}
	base := moof.Offset
	if tfhd.CheckFlag(mp4.TfhdBaseDataOffsetPresent) {
		base = tfhd.BaseDataOffset
	}
	usual := entry{track: track, offset: base, dts: int64(min(tfdt.GetBaseMediaDecodeTime(), 1<<62)),
		duration: track.defaults.DefaultSampleDuration, size: track.defaults.DefaultSampleSize}
	if tfhd.CheckFlag(mp4.TfhdDefaultSampleDurationPresent) {
		usual.duration = tfhd.DefaultSampleDuration
	}
	if tfhd.CheckFlag(mp4.TfhdDefaultSampleSizePresent) {
		usual.size = tfhd.DefaultSampleSize
	}
	return x.readRuns(traf, base, usual)
}

// readRuns lists the samples of the truns of one track, each of which begins where the previous one ended. at holds the
// default values, at the position and time of the first sample.
func (x *fragments) readRuns(traf *mp4.BoxInfo, base uint64, at entry) error {
	runs, err := mp4.ExtractBox(x.m.f, traf, path(mp4.BoxTypeTrun()))
	if err != nil {
		return err
	}
	for _, box := range runs {
		trun, err := x.readRun(box)
		if err != nil {
			return err
		}
		if trun.CheckFlag(trunDataOffset) {
			at.offset = uint64(int64(base) + int64(trun.DataOffset))
		}
		if len(x.queue)+len(trun.Entries) > maxRun {
			return fmt.Errorf("more than %d samples", maxRun)
		}
		for i := range trun.Entries {
			e := at
			if trun.CheckFlag(trunDuration) {
				e.duration = trun.Entries[i].SampleDuration
			}
			if trun.CheckFlag(trunSize) {
				e.size = trun.Entries[i].SampleSize
			}
			e.shown = trun.GetSampleCompositionTimeOffset(i)
			x.queue = append(x.queue, e)
			at.offset += uint64(e.size)
			at.dts += int64(e.duration)
		}
	}
	return nil
}

// readRun reads a trun after checking its number of samples.
func (x *fragments) readRun(box *mp4.BoxInfo) (*mp4.Trun, error) {
	var head [8]byte // version, flags, sample_count
	if _, err := x.m.f.ReadAt(head[:], int64(box.Offset+box.HeaderSize)); err != nil {
		return nil, err
	}
	if n := binary.BigEndian.Uint32(head[4:]); n > maxRun {
		return nil, fmt.Errorf("trun of %d samples", n)
	}
	if _, err := box.SeekToPayload(x.m.f); err != nil {
		return nil, err
	}
	trun := &mp4.Trun{}
	if _, err := mp4.Unmarshal(x.m.f, box.Size-box.HeaderSize, trun, box.Context); err != nil {
		return nil, err
	}
	return trun, nil
}

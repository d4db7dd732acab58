package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/abema/go-mp4"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
)

// Limits on what a file can make us store.
const (
	maxMoov   = 64 << 20 // bytes of tables: some days of video
	maxMoof   = 4 << 20  // bytes
	maxTracks = 16
)

// mp4File plays the first H.264 and the first Opus track of an MP4 (ISO/IEC 14496-12).
type mp4File struct {
	f       *os.File
	size    int64
	video   *mp4Track
	audio   *mp4Track // nil when no audio can be sent
	foreign bool      // AAC will do too
	silent  string    // why the audio is not played
	index   index
}

// index finds the samples of a file in decoding order: by the tables of a plain MP4, or fragment after fragment.
type index interface {
	next() (entry, error) // io.EOF at the end
	rewind()
}

// entry is the position and time of a sample.
type entry struct {
	track    *mp4Track
	offset   uint64
	size     uint32
	dts      int64 // in ticks of the track
	shown    int64 // how long after dts it is shown, in ticks
	duration uint32
}

// mp4Track is a track as the moov describes it.
type mp4Track struct {
	id         uint32
	media      media.Track
	scale      uint32                          // ticks a second
	lengthSize int                             // of the NAL unit lengths
	aac        *mpeg4audio.AudioSpecificConfig // of AAC, else nil
	shift      int64                           // ticks by which an edit list moves the track
	samples    uint32                          // in the tables; 0 when they are in fragments
	matrix     [9]int32                        // by which the pictures are to be turned
	box        *mp4.BoxInfo
	defaults   mp4.Trex // of fragments
}

// time converts ticks without overflow.
func (t *mp4Track) time(ticks int64) time.Duration {
	scale := int64(t.scale)
	return time.Duration(ticks/scale)*time.Second + time.Duration(ticks%scale)*time.Second/time.Duration(scale)
}

func openMP4(f *os.File, size int64, foreign bool) (*mp4File, error) {
	moov, moof, err := findMoov(f, size)
	if err != nil {
		return nil, err
	}
	m := &mp4File{f: f, size: size, foreign: foreign}
	if err := m.readTracks(moov); err != nil {
		return nil, err
	}
	if m.video == nil {
		return nil, errors.New("no video track that can be sent; hint: ffmpeg -i FILE -c:v libx264 -profile:v " +
			"baseline -c:a libopus OUT.mp4")
	}
	if err := m.openIndex(moov, moof); err != nil {
		return nil, err
	}
	return m, m.probe()
}

// findMoov walks the boxes at the top level to the moov, and to the first moof that follows it, which may be missing.
func findMoov(f *os.File, size int64) (moov, moof *mp4.BoxInfo, err error) {
	for at := int64(0); at < size; {
		box, err := boxAt(f, at, size)
		if err != nil {
			if moov != nil {
				break // cut off after the tables; the samples will tell
			}
			return nil, nil, fmt.Errorf("damaged at byte %d: %w; hint: the recording was cut off "+
				"before it was finished", at, err)
		}
		switch {
		case box.Type == mp4.BoxTypeMoov():
			moov = box
		case box.Type == mp4.BoxTypeMoof() && moov != nil:
			return moov, box, nil
		}
		at += int64(box.Size)
	}
	if moov == nil {
		return nil, nil, errors.New("an MP4 without its index (moov); hint: the recording was cut off before it was " +
			"finished")
	}
	if moov.Size > maxMoov {
		return nil, nil, fmt.Errorf("an MP4 with %d bytes of index, more than %d", moov.Size, maxMoov)
	}
	return moov, nil, nil
}

// boxAt reads the header of the box at an offset.
func boxAt(f *os.File, at, size int64) (*mp4.BoxInfo, error) {
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return nil, err
	}
	box, err := mp4.ReadBoxInfo(f)
	if err != nil {
		return nil, err
	}
	if box.Size < box.HeaderSize || box.Size > uint64(size-at) {
		return nil, fmt.Errorf("box %s of %d bytes in %d", box.Type, box.Size, size-at)
	}
	return box, nil
}

// openIndex selects one of the two ways to find samples.
func (m *mp4File) openIndex(moov, moof *mp4.BoxInfo) error {
	if moof != nil {
		if err := m.readDefaults(moov); err != nil {
			return err
		}
		m.index = &fragments{m: m, first: int64(moof.Offset), at: int64(moof.Offset)}
		return nil
	}
	t, err := m.readTables()
	if err != nil {
		return err
	}
	m.index = t
	return nil
}

// probe checks the times of the first samples, without reading them, so that a file with B-frames is refused before it
// plays.
func (m *mp4File) probe() error {
	last := int64(0)
	seen := 0
	for range 500 {
		e, err := m.index.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if e.track != m.video {
			continue
		}
		if seen > 0 && e.dts+e.shown < last {
			return errBFrames
		}
		last = e.dts + e.shown
		seen++
	}
	if seen == 0 {
		return errors.New("an MP4 whose video track has no samples")
	}
	return m.rewind()
}

func (m *mp4File) tracks() []media.Track {
	tracks := []media.Track{m.video.media}
	if m.audio != nil {
		tracks = append(tracks, m.audio.media)
	}
	return tracks
}

func (m *mp4File) rewind() error {
	m.index.rewind()
	return nil
}

func (m *mp4File) next() (sample, error) {
	e, err := m.index.next()
	if err != nil {
		return sample{}, err
	}
	if e.size == 0 || e.size > h264.MaxUnitSize || e.offset > uint64(m.size) ||
		uint64(e.size) > uint64(m.size)-e.offset {
		return sample{}, fmt.Errorf("a sample of %d bytes at byte %d in a file of %d; hint: is the file cut off?",
			e.size, e.offset, m.size)
	}
	data := make([]byte, e.size)
	if _, err := m.f.ReadAt(data, int64(e.offset)); err != nil {
		return sample{}, err
	}
	s := sample{
		codec:    e.track.media.Codec,
		pts:      e.track.time(e.dts + e.shown + e.track.shift),
		duration: e.track.time(int64(e.duration)),
		data:     [][]byte{data},
	}
	if e.track == m.video {
		if s.data, err = h264.SplitLengths(data, e.track.lengthSize); err != nil {
			return sample{}, fmt.Errorf("damaged sample at byte %d: %w", e.offset, err)
		}
	}
	if c := e.track.aac; c != nil {
		framed, err := mpeg4audio.ADTSPackets{{
			Type: mpeg4audio.ObjectTypeAACLC, SampleRate: c.SampleRate, ChannelConfig: c.ChannelConfig, AU: data,
		}}.Marshal()
		if err != nil {
			return sample{}, fmt.Errorf("damaged sound at byte %d: %w", e.offset, err)
		}
		s.data = [][]byte{framed}
	}
	return s, nil
}

package file

import (
	"errors"
	"io"

	"github.com/abema/go-mp4"
)

// tables is the index of a plain MP4: one cursor for each track, the earlier sample first.
type tables struct {
	cursors []*cursor
}

func (m *mp4File) readTables() (*tables, error) {
	t := &tables{}
	for _, track := range []*mp4Track{m.video, m.audio} {
		if track == nil {
			continue
		}
		c, err := m.readTable(track)
		if err != nil {
			return nil, err
		}
		t.cursors = append(t.cursors, c)
	}
	return t, nil
}

func (t *tables) rewind() {
	for _, c := range t.cursors {
		c.rewind()
	}
}

func (t *tables) next() (entry, error) {
	var first *cursor
	for _, c := range t.cursors {
		if !c.done() &&
			(first == nil || c.track.time(c.dts+c.track.shift) < first.track.time(first.dts+first.track.shift)) {
			first = c
		}
	}
	if first == nil {
		return entry{}, io.EOF
	}
	return first.next(), nil
}

// cursor walks the sample tables of one track (ISO/IEC 14496-12, 8.6 and 8.7), none of which is expanded.
type cursor struct {
	track  *mp4Track
	times  []mp4.SttsEntry
	shown  *mp4.Ctts // nil when samples are shown when they are decoded
	sizes  *mp4.Stsz
	groups []mp4.StscEntry
	chunks []uint64 // offsets

	sample  int // number of the next sample
	dts     int64
	offset  uint64 // of the next sample
	time    run    // where we are in times
	show    run    // in shown
	chunk   int    // number of the current chunk
	group   int    // which of groups it belongs to
	inChunk uint32 // samples already taken from it
}

// run is a position in a run-length coded table.
type run struct {
	i    int    // the entry
	used uint32 // samples already taken from it
}

var errTables = errors.New("damaged: the sample tables of a track do not fit together")

func (m *mp4File) readTable(track *mp4Track) (*cursor, error) {
	stbl := []mp4.BoxType{mp4.BoxTypeMdia(), mp4.BoxTypeMinf(), mp4.BoxTypeStbl()}
	at := func(t mp4.BoxType) []mp4.BoxType { return append(stbl[:3:3], t) }

	stts, ok1, err1 := payload[*mp4.Stts](m, track.box, at(mp4.BoxTypeStts())...)
	ctts, ok2, err2 := payload[*mp4.Ctts](m, track.box, at(mp4.BoxTypeCtts())...)
	stsz, ok3, err3 := payload[*mp4.Stsz](m, track.box, at(mp4.BoxTypeStsz())...)
	stsc, ok4, err4 := payload[*mp4.Stsc](m, track.box, at(mp4.BoxTypeStsc())...)
	stco, ok5, err5 := payload[*mp4.Stco](m, track.box, at(mp4.BoxTypeStco())...)
	co64, ok6, err6 := payload[*mp4.Co64](m, track.box, at(mp4.BoxTypeCo64())...)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	if !ok1 || !ok3 || !ok4 || !ok5 && !ok6 {
		return nil, errTables
	}
	c := &cursor{track: track, times: stts.Entries, sizes: stsz, groups: stsc.Entries}
	if ok2 {
		c.shown = ctts
	}
	if ok6 {
		c.chunks = co64.ChunkOffset
	} else {
		for _, offset := range stco.ChunkOffset {
			c.chunks = append(c.chunks, uint64(offset))
		}
	}
	if len(c.groups) > 0 && c.groups[0].FirstChunk != 1 {
		return nil, errTables
	}
	c.rewind()
	return c, nil
}

func (c *cursor) rewind() {
	c.sample, c.dts, c.time, c.show = 0, 0, run{}, run{}
	c.chunk, c.group, c.inChunk = 0, 0, 0
	if len(c.chunks) > 0 {
		c.offset = c.chunks[0]
	}
}

// done reports whether there is no next sample, because the tables end or contradict each other.
func (c *cursor) done() bool {
	return c.sample >= int(c.sizes.SampleCount) || c.chunk >= len(c.chunks) || len(c.groups) == 0 ||
		c.sizes.SampleSize == 0 && c.sample >= len(c.sizes.EntrySize)
}

// next returns the next sample. The caller has asked done.
func (c *cursor) next() entry {
	e := entry{track: c.track, offset: c.offset, size: c.sizes.SampleSize, dts: c.dts}
	if e.size == 0 {
		e.size = c.sizes.EntrySize[c.sample]
	}
	if c.time.step(len(c.times), func(i int) uint32 { return c.times[i].SampleCount }) {
		e.duration = c.times[c.time.i].SampleDelta
	}
	if c.shown != nil &&
		c.show.step(len(c.shown.Entries), func(i int) uint32 { return c.shown.Entries[i].SampleCount }) {
		e.shown = c.shown.GetSampleOffset(c.show.i)
	}
	c.sample++
	c.dts += int64(e.duration)
	c.offset += uint64(e.size)
	c.stepChunk()
	return e
}

// step advances by one sample and reports whether the table has an entry for it.
func (r *run) step(entries int, count func(int) uint32) bool {
	for r.i < entries && r.used >= count(r.i) {
		r.i, r.used = r.i+1, 0
	}
	r.used++
	return r.i < entries
}

// stepChunk advances to the next chunk when the current one is used up.
func (c *cursor) stepChunk() {
	c.inChunk++
	if c.inChunk < c.groups[c.group].SamplesPerChunk {
		return
	}
	c.inChunk = 0
	c.chunk++
	if c.chunk < len(c.chunks) {
		c.offset = c.chunks[c.chunk]
	}
	if c.group+1 < len(c.groups) && uint32(c.chunk+1) >= c.groups[c.group+1].FirstChunk {
		c.group++
	}
}

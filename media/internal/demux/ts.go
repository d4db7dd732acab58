package demux

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

const (
	tsPacket = 188
	tsSync   = 0x47
	maxProbe = 8 << 20 // bytes to read before the tables are known, which are repeated several times a second
)

// errProgram says that the tables have changed, so that the stream must be reopened.
var errProgram = errors.New("MPEG-TS: the program has other streams now")

// ts is an MPEG transport stream (ISO/IEC 13818-1). Its first program with video is played, or else the first one.
//
//	packets of 188 bytes --PID--> PAT, PMT: what there is | PES: video or some audio frames, often with their time
type ts struct {
	tracks
	in     tsPackets
	tables map[uint16]*section
	guide  guide
	pes    map[uint16]*pes
	clock  wrap
	queue  []Unit
}

func openTS(r io.Reader) (Stream, error) {
	t := &ts{in: tsPackets{r: bufio.NewReaderSize(r, 64<<10)}, tables: map[uint16]*section{0: {}},
		pes: map[uint16]*pes{}}
	for t.guide.table == nil {
		if t.in.read > maxProbe {
			return nil, fmt.Errorf("MPEG-TS: no program in the first %d MiB", maxProbe>>20)
		}
		if err := t.packet(); err != nil {
			return nil, err
		}
	}
	return t, t.usable("MPEG-TS")
}

func (t *ts) Next() (Unit, error) {
	for len(t.queue) == 0 {
		if err := t.packet(); err == io.EOF {
			if t.flush(); len(t.queue) == 0 {
				return Unit{}, err
			}
		} else if err != nil {
			return Unit{}, err
		}
	}
	u := t.queue[0]
	t.queue = t.queue[1:]
	return u, nil
}

// flush returns the units that were incomplete when the stream ended.
func (t *ts) flush() {
	for _, p := range t.pes {
		_ = t.finish(p) // the stream is over
		if p.video != nil {
			p.video.flush()
		}
	}
}

// packet reads one packet.
func (t *ts) packet() error {
	p, err := t.in.next()
	if err != nil || p == nil {
		return err
	}
	return t.demux(p)
}

// demux parses the packet's header (section 2.4.3.2).
func (t *ts) demux(p []byte) error {
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	start, counter := p[1]&0x40 != 0, p[3]&0xf
	if p[1]&0x80 != 0 || p[3]&0x10 == 0 { // damaged, or without payload
		return nil
	}
	body := p[4:]
	if p[3]&0x20 != 0 { // adaptation field
		n := int(body[0]) + 1
		if n >= len(body) {
			return nil
		}
		body = body[n:]
	}
	if s := t.tables[pid]; s != nil {
		for table := range s.add(start, body) {
			if err := t.psi(pid, table); err != nil {
				return err
			}
		}
		return nil
	}
	if s := t.pes[pid]; s != nil {
		return t.addPES(s, start, counter, body)
	}
	return nil
}

// psi handles one table (section 2.4.4).
func (t *ts) psi(pid uint16, b []byte) error {
	switch {
	case pid == 0 && b[0] == 0:
		for _, pid := range t.guide.associate(b) {
			t.tables[pid] = &section{}
		}
	case pid != 0 && b[0] == 2: // program map
		if t.guide.table != nil {
			return t.guide.check(b)
		}
		if table := t.guide.choose(b); table != nil {
			return t.program(table)
		}
	}
	return nil
}

// streams returns the part of a PMT that lists the elementary streams.
func streams(b []byte) []byte {
	if len(b) < 16 {
		return nil
	}
	from := 12 + (int(b[10]&0xf)<<8 | int(b[11]))
	return b[min(from, len(b)-4) : len(b)-4]
}

// element is one elementary stream of a PMT.
type element struct {
	pid         uint16
	kind        byte
	descriptors []byte
}

func elements(table []byte) (all []element) {
	for s := streams(table); len(s) >= 5; {
		n := min(5+(int(s[3]&0xf)<<8|int(s[4])), len(s))
		all = append(all, element{uint16(s[1]&0x1f)<<8 | uint16(s[2]), s[0], s[5:n]})
		s = s[n:]
	}
	return all
}

// program selects the tracks of a program (section 2.4.4.9).
func (t *ts) program(b []byte) error {
	chosen := map[bool]uint16{}
	for _, e := range elements(b) {
		track, name := describe(e.kind, e.descriptors)
		if track.Codec == "" {
			t.left = append(t.left, name)
			continue
		}
		if t.add(track) {
			delete(t.pes, chosen[track.Codec.Video()])
			chosen[track.Codec.Video()] = e.pid
			t.pes[e.pid] = t.newPES(track.Codec)
		}
	}
	return nil
}

// describe translates a stream type (table 2-34) and the descriptors of a stream. name is for people when there is no
// track.
func describe(kind byte, descriptors []byte) (track media.Track, name string) {
	switch kind {
	case 0x1b:
		track.Codec = media.H264
	case 0x24:
		track.Codec = media.H265
	case 0x03, 0x04:
		track.Codec = es.MPA
	case 0x0f:
		track.Codec = es.ADTS
	case 0x81:
		track.Codec = es.AC3
	case 0x06:
		track, name = private(descriptors)
	default:
		name = map[byte]string{0x01: "MPEG-1 video", 0x02: "MPEG-2 video", 0x10: "MPEG-4 video", 0x11: "AAC (LATM)",
			0x87: "E-AC-3"}[kind]
		if name == "" {
			name = fmt.Sprintf("stream type %#x", kind)
		}
	}
	return track, name
}

// private reads the descriptors of a stream without a type of its own: AC-3 (ETSI EN 300 468, annex D), Opus in TS.
func private(d []byte) (track media.Track, name string) {
	opus := false
	for len(d) >= 2 && len(d) >= 2+int(d[1]) {
		tag, body := d[0], d[2:2+int(d[1])]
		d = d[2+int(d[1]):]
		switch {
		case tag == 0x6a:
			return media.Track{Codec: es.AC3}, ""
		case tag == 0x05 && string(body) == "Opus":
			opus = true
		case tag == 0x7f && len(body) >= 2 && body[0] == 0x80:
			track.Channels = int(body[1])
			if body[1] == 0 {
				track.Channels = 2 // dual mono
			}
		}
	}
	if !opus {
		return media.Track{}, "private data"
	}
	if track.Channels > 2 {
		return media.Track{}, "Opus with more than two channels"
	}
	track.Codec = media.Opus
	return track, ""
}

// pes assembles one elementary stream (section 2.4.3.6).
type pes struct {
	codec   media.Codec
	open    bool
	counter byte
	buf     []byte
	want    int           // total bytes, 0 when the start of the next PES packet is the end
	video   *pictures     // H.264 or H.265
	after   time.Duration // when the audio so far has been played
}

func (t *ts) newPES(codec media.Codec) *pes {
	p := &pes{codec: codec, after: es.Untimed}
	if codec.Video() {
		p.video = newPictures(codec, func(at time.Duration, nals [][]byte) { t.push(codec, at, nals) })
	}
	return p
}

// lost drops the rest of a unit.
func (p *pes) lost() {
	p.open, p.buf = false, nil
	if p.video != nil {
		p.video.lost()
	}
}

// addPES adds the payload of one packet. After a lost packet the rest of the unit is dropped.
func (t *ts) addPES(p *pes, start bool, counter byte, body []byte) error {
	lost := p.open && counter != (p.counter+1)&0xf
	if lost && counter == p.counter && !start {
		return nil // a permitted duplicate
	}
	p.counter = counter
	if lost {
		p.lost()
	}
	if start {
		if err := t.finish(p); err != nil {
			return err
		}
		p.open, p.want = true, 0
		if len(body) >= 6 {
			if n := int(body[4])<<8 | int(body[5]); n > 0 {
				p.want = 6 + n
			}
		}
	}
	if !p.open {
		return nil
	}
	if p.buf = append(p.buf, body...); len(p.buf) > maxUnit {
		return errBounds
	}
	if p.want > 0 && len(p.buf) >= p.want {
		p.buf = p.buf[:p.want]
		return t.finish(p)
	}
	return nil
}

// finish makes units from a complete PES packet.
func (t *ts) finish(p *pes) error {
	b := p.buf
	p.buf = nil
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 1 || len(b) < 9+int(b[8]) {
		return nil
	}
	at, b := t.time(b), b[9+int(b[8]):]
	if p.video != nil {
		return p.video.add(b, at)
	}
	if at == es.Untimed {
		at = p.after
	}
	switch {
	case p.codec == media.Opus:
		p.after = t.opus(at, b)
	case len(b) > 0:
		t.push(p.codec, at, [][]byte{b})
		p.after = later(at, es.Duration(p.codec, b))
	}
	return nil
}

// time returns the PTS of a PES packet, es.Untimed if it has none.
func (t *ts) time(b []byte) time.Duration {
	if b[7]&0x80 == 0 || b[8] < 5 || len(b) < 14 {
		return es.Untimed
	}
	ts := b[9:14]
	return t.clock.time(int64(ts[0]>>1&7)<<30 | int64(ts[1])<<22 | int64(ts[2]>>1)<<15 | int64(ts[3])<<7 |
		int64(ts[4]>>1))
}

// later returns a time after another that may be es.Untimed.
func later(at, d time.Duration) time.Duration {
	if at == es.Untimed {
		return at
	}
	return at + d
}

func (t *ts) push(codec media.Codec, pts time.Duration, data [][]byte) {
	t.queue = append(t.queue, Unit{Codec: codec, PTS: pts, Data: data})
}

// opus splits a PES packet into access units, and returns the time of their end. Each has a control header with its
// size (ETSI TS "Opus in MPEG-TS", section 3).
func (t *ts) opus(at time.Duration, b []byte) time.Duration {
	for len(b) > 2 && b[0] == 0x7f && b[1]&0xe0 == 0xe0 {
		flags, size := b[1], 0
		b = b[2:]
		for len(b) > 0 {
			n := b[0]
			b = b[1:]
			size += int(n)
			if n != 255 {
				break
			}
		}
		extra := 0
		if flags&0x10 != 0 {
			extra += 2 // start trim
		}
		if flags&0x08 != 0 {
			extra += 2 // end trim
		}
		if flags&0x04 != 0 && len(b) > extra {
			extra += 1 + int(b[extra]) // extension
		}
		if size == 0 || len(b) < extra+size {
			return at
		}
		p := b[extra : extra+size]
		t.push(media.Opus, at, [][]byte{bytes.Clone(p)})
		at = later(at, time.Duration(opus.PacketDuration2(p))*time.Second/48000)
		b = b[extra+size:]
	}
	return at
}

// split splits a part of an Annex B stream at its start codes. The slices share b.
func split(b []byte) (nals [][]byte) {
	mark := []byte{0, 0, 1}
	at := bytes.Index(b, mark)
	if at < 0 {
		return nil
	}
	for b = b[at+3:]; len(b) > 0; {
		next := bytes.Index(b, mark)
		nal := b
		if next >= 0 {
			nal, b = b[:next], b[next+3:]
		} else {
			b = nil
		}
		if nal = bytes.TrimRight(nal, "\x00"); len(nal) > 0 {
			nals = append(nals, slices.Clip(nal))
		}
		if len(nals) > maxNALs {
			break
		}
	}
	return nals
}

// wrap unwraps the 90 kHz clock of 33 bits.
type wrap struct {
	started bool
	last    int64
	total   int64
}

func (w *wrap) time(ticks int64) time.Duration {
	const bits = 33
	if !w.started {
		w.started, w.last, w.total = true, ticks, ticks
	}
	step := (ticks - w.last) << (64 - bits) >> (64 - bits) // the shorter way around
	w.last, w.total = ticks, w.total+step
	return time.Duration(w.total/90000)*time.Second + time.Duration(w.total%90000)*time.Second/90000
}

// section assembles tables, which may begin in the middle of a packet and continue in the next.
type section struct{ buf []byte }

// add yields the tables that are complete and have a valid checksum.
func (s *section) add(start bool, b []byte) func(yield func([]byte) bool) {
	if start {
		pointer := int(b[0])
		b = b[min(1+pointer, len(b)):]
		s.buf = nil
	} else if s.buf == nil {
		b = nil
	}
	s.buf = append(s.buf, b...)
	return func(yield func([]byte) bool) {
		for len(s.buf) >= 3 && s.buf[0] != 0xff {
			n := 3 + (int(s.buf[1]&0xf)<<8 | int(s.buf[2]))
			if len(s.buf) < n {
				return
			}
			table := s.buf[:n]
			s.buf = s.buf[n:]
			if n >= 12 && crc(table) == 0 && !yield(bytes.Clone(table)) {
				return
			}
		}
		s.buf = nil
	}
}

// crc returns the CRC of ISO/IEC 13818-1, annex A. Over a table with its own checksum it is 0.
func crc(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c ^= uint32(x) << 24
		for range 8 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
	}
	return c
}

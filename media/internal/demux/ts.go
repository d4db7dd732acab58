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

// ts is an MPEG transport stream (ISO/IEC 13818-1). Its first program is played.
//
//	packets of 188 bytes --PID--> PAT, PMT: what there is | PES: one access unit or some audio frames, with their time
type ts struct {
	tracks
	r      *bufio.Reader
	read   int64
	pmt    uint16 // PID of the PMT; 0 until known
	tables map[uint16]*section
	table  []byte // the current PMT
	pes    map[uint16]*pes
	clock  wrap
	queue  []Unit
}

func openTS(r io.Reader) (Stream, error) {
	t := &ts{r: bufio.NewReaderSize(r, 64<<10), tables: map[uint16]*section{0: {}}, pes: map[uint16]*pes{}}
	for t.table == nil {
		if t.read > maxProbe {
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
		t.finish(p)
	}
}

// packet reads one packet. It first synchronises when the stream was joined in the middle.
func (t *ts) packet() error {
	for {
		b, err := t.r.Peek(1)
		if err != nil {
			return err
		}
		if b[0] == tsSync {
			break
		}
		t.skip(1)
	}
	b, err := t.r.Peek(tsPacket + 1)
	if len(b) < tsPacket {
		return ended(err)
	}
	if len(b) > tsPacket && b[tsPacket] != tsSync {
		t.skip(1) // a byte that looked like the start of a packet
		return nil
	}
	p := bytes.Clone(b[:tsPacket])
	t.skip(tsPacket)
	return t.demux(p)
}

func (t *ts) skip(n int) {
	_, _ = t.r.Discard(n) // already peeked at
	t.read += int64(n)
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
		t.addPES(s, start, counter, body)
	}
	return nil
}

// psi handles one table (section 2.4.4).
func (t *ts) psi(pid uint16, b []byte) error {
	switch {
	case pid == 0 && b[0] == 0: // program association
		for e := b[8 : len(b)-4]; len(e) >= 4 && t.pmt == 0; e = e[4:] {
			if e[0] != 0 || e[1] != 0 { // 0 is the network table
				t.pmt = uint16(e[2]&0x1f)<<8 | uint16(e[3])
				t.tables[t.pmt] = &section{}
			}
		}
	case pid == t.pmt && b[0] == 2: // program map
		if t.table == nil {
			t.table = b
			return t.program(b)
		}
		if !bytes.Equal(streams(b), streams(t.table)) {
			return errProgram
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

// program selects the tracks of a program (section 2.4.4.9).
func (t *ts) program(b []byte) error {
	chosen := map[bool]uint16{}
	for s := streams(b); len(s) >= 5; {
		kind, pid := s[0], uint16(s[1]&0x1f)<<8|uint16(s[2])
		n := min(5+(int(s[3]&0xf)<<8|int(s[4])), len(s))
		track, name := describe(kind, s[5:n])
		s = s[n:]
		if track.Codec == "" {
			t.left = append(t.left, name)
			continue
		}
		if t.add(track) {
			delete(t.pes, chosen[track.Codec.Video()])
			chosen[track.Codec.Video()] = pid
			t.pes[pid] = &pes{codec: track.Codec}
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
	want    int // total bytes, 0 when the start of the next PES packet is the end
}

// addPES adds the payload of one packet. After a lost packet the rest of the unit is dropped.
func (t *ts) addPES(p *pes, start bool, counter byte, body []byte) {
	lost := p.open && counter != (p.counter+1)&0xf
	if lost && counter == p.counter && !start {
		return // a permitted duplicate
	}
	p.counter = counter
	if start {
		if !lost {
			t.finish(p)
		}
		p.open, p.buf, p.want = true, nil, 0
		if len(body) >= 6 {
			if n := int(body[4])<<8 | int(body[5]); n > 0 {
				p.want = 6 + n
			}
		}
	} else if lost {
		p.open, p.buf = false, nil
	}
	if !p.open {
		return
	}
	if p.buf = append(p.buf, body...); len(p.buf) > maxUnit {
		p.open, p.buf = false, nil
		return
	}
	if p.want > 0 && len(p.buf) >= p.want {
		p.buf = p.buf[:p.want]
		t.finish(p)
	}
}

// finish makes units from a complete PES packet.
func (t *ts) finish(p *pes) {
	b := p.buf
	p.buf = nil
	if len(b) < 14 || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[7]&0x80 == 0 || len(b) < 9+int(b[8]) || b[8] < 5 {
		return // without a time
	}
	ts := b[9:14]
	ticks := int64(ts[0]>>1&7)<<30 | int64(ts[1])<<22 | int64(ts[2]>>1)<<15 | int64(ts[3])<<7 | int64(ts[4]>>1)
	at, b := t.clock.time(ticks), b[9+int(b[8]):]
	switch p.codec {
	case media.H264, media.H265:
		if nals := split(b); len(nals) > 0 && len(nals) <= maxNALs {
			t.push(p.codec, at, nals)
		}
	case media.Opus:
		t.opus(at, b)
	default:
		if len(b) > 0 {
			t.push(p.codec, at, [][]byte{b})
		}
	}
}

func (t *ts) push(codec media.Codec, pts time.Duration, data [][]byte) {
	t.queue = append(t.queue, Unit{Codec: codec, PTS: pts, Data: data})
}

// opus splits a PES packet into access units. Each has a control header with its size (ETSI TS "Opus in MPEG-TS",
// section 3).
func (t *ts) opus(at time.Duration, b []byte) {
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
			return
		}
		p := b[extra : extra+size]
		t.push(media.Opus, at, [][]byte{bytes.Clone(p)})
		at += time.Duration(opus.PacketDuration2(p)) * time.Second / 48000
		b = b[extra+size:]
	}
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

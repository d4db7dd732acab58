package demux

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// fullPES is the length from which a PES packet may be cut off by its 16-bit length: some muxers put the rest of a
// picture in the next one.
const fullPES = 60_000

var errBounds = fmt.Errorf("MPEG-TS: a picture of more than %d bytes or %d NAL units", maxUnit, maxNALs)

// pictures cuts the video of PES packets into access units: PES packets need not begin or end with a picture, nor have
// a time. A time belongs to the first picture that begins in its packet (ISO/IEC 13818-1, 2.4.3.7).
//
//	PES(t) SPS PPS slice(0) | PES slice(40) | PES(t') slice(0) slice(40) slice(0) slice(40) | ...
//
// Where a picture ends is known when the next one begins. Once a picture has ended with its PES packet, a key frame or
// another, this is believed of its like.
type pictures struct {
	codec media.Codec
	beat  beat

	tail     []byte        // the last NAL unit, with its start code: it may go on in the next PES packet
	tailTime time.Duration // that a picture gets that begins with it

	unit    [][]byte // of the current picture
	size    int
	slices  int
	last    int // where its last slice begins
	key     bool
	at      time.Duration
	damaged bool
	cut     bool // something is missing before it

	packet   int  // number of the current PES packet
	from, to int  // those of the picture's first and last slice or, before these, NAL unit
	full     bool // the PES packet before is full

	ended bool          // the last picture ended with its PES packet
	wrong bool          // it did not
	right map[bool]bool // pictures end with their PES packets: by whether they are key frames
}

func newPictures(codec media.Codec, out func(time.Duration, [][]byte)) *pictures {
	return &pictures{codec: codec, beat: beat{out: out}, at: es.Untimed, tailTime: es.Untimed, right: map[bool]bool{}}
}

// lost notes that a part of the stream is missing.
func (p *pictures) lost() {
	p.damaged = p.damaged || p.slices > 0 || p.tail != nil
	p.tail, p.cut, p.ended = nil, true, false
}

// add takes the payload of a PES packet and its time, which may be es.Untimed.
func (p *pictures) add(b []byte, at time.Duration) error {
	fresh := annexB(b[:min(len(b), 8)])
	joined := p.tail != nil && !fresh
	if !fresh && (joined || p.ended) {
		p.wrong = p.wrong || !p.full
	}
	if joined {
		b = append(p.tail, b...)
	} else if err := p.endTail(); err != nil {
		return err
	}
	rest := bytes.LastIndex(b, []byte{0, 0, 1})
	if rest < 0 {
		return nil // the end of a NAL unit that is lost
	}
	nals := split(b[:rest])
	for i, nal := range nals {
		when, packet := &at, p.packet+1
		if joined && i == 0 {
			when, packet = &p.tailTime, p.packet
		}
		if err := p.nal(nal, when, packet); err != nil {
			return err
		}
	}
	p.packet++
	if !joined || len(nals) > 0 {
		p.tailTime = at
	}
	if p.tail = b[rest:]; len(p.tail) > maxUnit {
		return errBounds
	}
	p.full = len(b) > fullPES
	if key := p.key || es.PartOf(p.codec, bare(p.tail)).Key; p.right[key] && !p.wrong && !p.full {
		err := p.endTail()
		if p.slices > 0 {
			p.end()
			p.ended = true
		}
		return err
	}
	return nil
}

// bare returns a NAL unit without its start code and the zero bytes that may follow it.
func bare(tail []byte) []byte { return slices.Clip(bytes.TrimRight(tail[3:], "\x00")) }

// endTail takes the last NAL unit of the PES packet before, which is complete.
func (p *pictures) endTail() (err error) {
	if p.tail != nil {
		err = p.nal(bare(p.tail), &p.tailTime, p.packet)
	}
	p.tail = nil
	return err
}

// nal takes the next NAL unit, which begins in a PES packet. at is the time of the picture that begins with it, which
// uses it up.
func (p *pictures) nal(nal []byte, at *time.Duration, packet int) error {
	if len(nal) == 0 {
		return nil
	}
	part := es.PartOf(p.codec, nal)
	begins := part.Leads || part.Slice && part.First >= 0 && part.First <= p.last
	switch {
	case p.slices > 0 && begins:
		p.right[p.key] = p.right[p.key] || packet > p.to && p.from == p.to
		p.end()
		p.cut = part.Slice && part.First != 0
	case p.slices > 0 && packet > p.to:
		p.wrong = p.wrong || !p.full
	case p.ended && part.Slice && part.First != 0:
		p.wrong, p.damaged = true, true
	case p.slices == 0 && !part.Slice && !part.Leads:
		return nil // it belongs to a picture that has gone
	}
	if p.ended = false; p.slices == 0 {
		p.from = packet
		if p.at == es.Untimed {
			p.at, *at = *at, es.Untimed
		}
	}
	p.to = packet
	if part.Slice {
		p.damaged = p.damaged || p.slices == 0 && p.cut && part.First != 0
		p.slices, p.last, p.key = p.slices+1, max(p.last, part.First), p.key || part.Key
	}
	p.beat.look(p.codec, nal)
	p.unit, p.size = append(p.unit, nal), p.size+len(nal)
	if p.size > maxUnit || len(p.unit) > maxNALs {
		return errBounds
	}
	return nil
}

// end completes the current picture. One with something missing is left out.
func (p *pictures) end() {
	if p.slices > 0 && !p.damaged {
		p.beat.picture(p.at, p.unit)
	}
	p.unit, p.size, p.slices, p.last, p.key, p.at = nil, 0, 0, 0, false, es.Untimed
	p.damaged, p.cut = false, false
}

// flush completes the last picture of a stream.
func (p *pictures) flush() {
	_ = p.endTail() // a limit does not matter any more
	p.end()
	p.beat.flush()
}

// Limits of pictures without a time.
const (
	// So many wait for one that has a time. More are a stream without times: they are shown as they come.
	untimedMost = 32
	beatMost    = 2 * time.Second // a longer time between two pictures is a gap
)

// beat gives times to pictures that have none: they are spread evenly between those that have.
type beat struct {
	out     func(at time.Duration, nals [][]byte)
	last    time.Duration // of the last picture that had one
	timed   bool          // there was one
	since   int           // pictures after it
	step    time.Duration // from one picture to the next, 0 when not yet known
	waiting [][][]byte
	size    int // bytes that wait
	never   bool
}

// look reads the rate from a parameter set.
func (b *beat) look(codec media.Codec, nal []byte) {
	if b.step == 0 && codec == media.H264 && h264.Type(nal) == 7 {
		if rate := h264.FrameRate(nal); rate > 0 {
			b.step = time.Duration(float64(time.Second) / rate)
		}
	}
}

func (b *beat) picture(at time.Duration, nals [][]byte) {
	if at != es.Untimed {
		if d := (at - b.last) / time.Duration(b.since+1); b.timed && d > 0 && d < beatMost {
			b.step = d
		}
		b.release(at)
		b.last, b.timed, b.since, b.never = at, true, 0, false
		b.out(at, nals)
		return
	}
	b.since++
	switch {
	case b.never:
		b.out(es.Untimed, nals)
	case b.timed && b.step > 0:
		b.out(b.last+time.Duration(b.since)*b.step, nals)
	default:
		b.waiting = append(b.waiting, nals)
		for _, nal := range nals {
			b.size += len(nal)
		}
		if len(b.waiting) > untimedMost || b.size > maxUnit {
			b.flush()
		}
	}
}

// release passes on the pictures that waited for one with time at.
func (b *beat) release(at time.Duration) {
	for i, nals := range b.waiting {
		t := at - time.Duration(len(b.waiting)-i)*b.step
		if b.timed {
			t = max(t, b.last)
		}
		b.out(t, nals)
	}
	b.waiting, b.size = nil, 0
}

// flush passes on the pictures that wait for a time that does not come.
func (b *beat) flush() {
	for _, nals := range b.waiting {
		b.out(es.Untimed, nals)
	}
	b.never = b.never || len(b.waiting) > 0
	b.waiting, b.size = nil, 0
}

package depacket

import (
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// Limits of one access unit.
const (
	maxUnit = h264.MaxUnitSize
	maxNALs = h264.MaxUnitNALs
)

// nonsense is how many packets in a row must not follow each other until their numbers are ignored.
const nonsense = 64

// Why a picture is left out.
var (
	errBounds = fmt.Errorf("a picture of more than %d bytes or %d NAL units is left out", maxUnit, maxNALs)
	errLost   = errors.New("a picture is left out, since packets of it are missing")
)

// pictures groups the NAL units of packets into access units.
//
//	SPS PPS slice(0) slice(40) slice(80) | slice(0) slice(40) ...    slices say where a picture begins
//
// So does another time stamp. Where a picture ends, marker bits say a little earlier. Some cameras set none, and others
// set one on each slice, so they are believed once they have been right, for key frames and for others.
type pictures struct {
	codec media.Codec
	rate  int64 // RTP ticks a second
	nals  nalUnits

	known bool   // there was a packet
	gaps  int    // in a row
	next  uint16 // the sequence number to come
	stamp uint32 // of the current picture
	shown bool   // a picture was complete

	unit   [][]byte // the NAL units of the current picture
	size   int      // their bytes
	slices int      // how many are slices
	last   int      // where the last slice begins
	key    bool
	cut    bool  // packets are missing before its first slice
	fault  error // why it is left out
	held   bool  // all of it came before the current packet

	marker markers
}

// markers is what is known about the marker bits of a track.
type markers struct {
	wrong bool          // one stood in the middle of a picture
	right map[bool]bool // by whether the picture is a key frame: one stood at the end of its last slice only

	count int  // slices of the current picture that have one
	last  bool // the last slice has one
	ended bool // the picture was ended by one, and no other has begun
}

func newPictures(codec media.Codec, rate int) *pictures {
	p := &pictures{codec: codec, rate: int64(rate), nals: nalUnits{shape: shapeAVC}}
	if codec == media.H265 {
		p.nals.shape = shapeHEVC
	}
	p.marker.right = map[bool]bool{}
	return p
}

// packet returns the access units that are complete with a packet. more says that there are none yet. The error is the
// reason why a picture is left out.
func (p *pictures) packet(pkt *rtp.Packet) (units []Unit, more bool, err error) {
	gap := p.gap(pkt.SequenceNumber)
	p.held = true
	if len(pkt.Payload) == 0 {
		return nil, true, nil
	}
	open := p.nals.pending()
	if gap {
		p.nals.drop()
	}
	if pkt.Timestamp != p.stamp {
		if open || gap && p.slices > 0 && !p.marker.last {
			p.damage(errLost)
		}
		p.nals.drop()
		err = p.end(pkt.Timestamp, &units)
		p.stamp, p.marker.ended = pkt.Timestamp, false
	} else if gap && p.slices > 0 {
		p.damage(errLost)
	}
	p.cut = p.cut || gap

	nals, bad := p.nals.take(pkt.Payload)
	for i, nal := range nals {
		marked := pkt.Marker && i == len(nals)-1
		err = errors.Join(err, p.add(nal, marked, pkt.Timestamp, &units))
	}
	if bad != nil {
		p.damage(bad)
	}
	if p.slices > 0 && p.marker.last && !p.nals.pending() && p.marker.believed(p.slices, p.key) {
		err = errors.Join(err, p.end(pkt.Timestamp, &units))
		p.marker.ended = true
	}
	return units, len(units) == 0, err
}

// gap notes a sequence number and reports whether packets are missing before it. Numbers that never follow each other
// say nothing.
func (p *pictures) gap(number uint16) bool {
	follows := p.known && number == p.next
	p.known, p.next = true, number+1
	if p.gaps++; follows {
		p.gaps = 0
	}
	return !follows && p.gaps < nonsense
}

// believed reports whether a marker at the last of some slices ends the picture.
func (m *markers) believed(slices int, key bool) bool {
	return !m.wrong && (m.right[key] || slices > 1 && m.count == 1)
}

// add takes the next NAL unit, which may begin another picture.
func (p *pictures) add(nal []byte, marked bool, stamp uint32, units *[]Unit) (err error) {
	part := es.PartOf(p.codec, nal)
	if p.slices > 0 && (part.Leads || part.Slice && part.First >= 0 && part.First <= p.last) {
		err = p.end(stamp, units)
		p.cut = part.Slice && part.First != 0
	}
	switch {
	case part.Slice:
		p.slice(part, marked)
	case p.slices == 0 && !part.Leads:
		return err // it belongs to a picture that has gone
	}
	if p.size += len(nal); p.size > maxUnit || len(p.unit) >= maxNALs {
		p.damage(errBounds)
		return err
	}
	p.unit, p.held = append(p.unit, nal), false
	return err
}

// slice notes the next slice of the current picture.
func (p *pictures) slice(part es.Part, marked bool) {
	if p.slices == 0 && part.First != 0 {
		switch {
		case p.marker.ended:
			p.marker.wrong = true
			p.damage(errLost)
		case p.cut:
			p.damage(errLost)
		}
	}
	if p.slices > 0 && p.marker.last {
		p.marker.wrong = true
	}
	p.marker.ended = false
	p.slices, p.last, p.key = p.slices+1, max(p.last, part.First), p.key || part.Key
	if p.marker.last = marked; marked {
		p.marker.count++
	}
}

// damage marks the current picture as one that cannot be shown.
func (p *pictures) damage(why error) {
	if p.fault == nil {
		p.fault = why
	}
}

// end completes the current picture. Before its first slice there is none: what was collected goes with the next one.
// Of a damaged picture the parameter sets are left.
func (p *pictures) end(now uint32, units *[]Unit) (err error) {
	if p.slices == 0 && p.fault == nil {
		return nil
	}
	unit := p.unit
	if p.fault != nil {
		unit = nil
		for _, nal := range p.unit {
			if !es.PartOf(p.codec, nal).Slice {
				unit = append(unit, nal)
			}
		}
		// Who joins in the middle of a picture has lost nothing.
		if joined := !p.shown && (p.fault == errLost || p.fault == errFragment); !joined {
			err = p.fault
		}
	} else {
		p.shown = true
		p.marker.right[p.key] = p.marker.count == 1 && p.marker.last
	}
	if len(unit) > 0 {
		ticks := int64(int32(p.stamp - now))
		*units = append(*units, Unit{Offset: time.Duration(ticks) * time.Second / time.Duration(p.rate), Data: unit,
			Held: p.held})
	}
	p.unit, p.size, p.slices, p.last, p.key, p.cut, p.fault = nil, 0, 0, 0, false, false, nil
	p.marker.count, p.marker.last = 0, false
	return err
}

// waiting reports whether a whole picture may be waiting for the beginning of the next one.
func (p *pictures) waiting() bool { return p.slices > 0 && !p.nals.pending() }

// flush ends the current picture when nothing follows it.
func (p *pictures) flush() (units []Unit, err error) {
	if p.waiting() {
		p.held = true
		err = p.end(p.stamp, &units)
		p.marker.ended = true
	}
	return units, err
}

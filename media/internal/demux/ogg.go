package demux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/kvsagent/kvsagent/media"
)

// maxPacket limits one Opus packet, which has at most 61,440 bytes (RFC 7845 section 6).
const maxPacket = 61440

// ogg is Opus in Ogg (RFC 3533, RFC 7845).
type ogg struct {
	tracks
	r       io.Reader
	serial  uint32
	headers int   // header packets seen: OpusHead and OpusTags
	samples int64 // at 48 kHz, since the beginning
	partial []byte
	packets [][]byte // complete, not yet returned
}

func openOgg(r io.Reader) (Stream, error) {
	o := &ogg{r: r}
	for o.headers == 0 {
		if err := o.page(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *ogg) Next() (Unit, error) {
	for len(o.packets) == 0 {
		if err := o.page(); err != nil {
			return Unit{}, err
		}
	}
	p := o.packets[0]
	o.packets = o.packets[1:]
	pts := time.Duration(o.samples) * time.Second / 48000
	o.samples += opus.PacketDuration2(p)
	return Unit{Codec: media.Opus, PTS: pts, Data: [][]byte{p}}, nil
}

// page reads one page (RFC 3533, section 6).
func (o *ogg) page() error {
	var h [27]byte
	if _, err := io.ReadFull(o.r, h[:]); err != nil {
		return ended(err)
	}
	if string(h[:5]) != "OggS\x00" {
		return errors.New("Ogg: no page where one should begin")
	}
	lacing := make([]byte, h[26])
	if _, err := io.ReadFull(o.r, lacing); err != nil {
		return ended(err)
	}
	size := 0
	for _, n := range lacing {
		size += int(n)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(o.r, body); err != nil {
		return ended(err)
	}
	serial := binary.LittleEndian.Uint32(h[14:])
	switch {
	case h[5]&2 != 0 && bytes.HasPrefix(body, []byte("OpusHead")): // a stream begins, the first or a chained one
		o.serial, o.headers, o.partial = serial, 0, nil
	case o.headers == 0 && h[5]&2 != 0:
		o.left = append(o.left, "another stream than Opus")
		return nil
	case serial != o.serial || o.headers == 0:
		if o.headers == 0 {
			return o.usable("Ogg")
		}
		return nil
	}
	return o.split(lacing, body)
}

// split assembles packets from the segments of a page.
func (o *ogg) split(lacing, body []byte) error {
	for _, n := range lacing {
		o.partial = append(o.partial, body[:n]...)
		body = body[n:]
		if len(o.partial) > maxPacket && o.headers >= 2 || len(o.partial) > 1<<20 {
			return fmt.Errorf("Ogg: packet above %d bytes", len(o.partial))
		}
		if n == 255 {
			continue
		}
		p := o.partial
		o.partial = nil
		if err := o.packet(p); err != nil {
			return err
		}
	}
	return nil
}

func (o *ogg) packet(p []byte) error {
	switch {
	case o.headers == 0:
		if len(p) < 19 || p[9] == 0 || p[9] > 2 {
			return errors.New("Ogg: Opus with more than two channels, or without a header; hint: -ac 2")
		}
		o.list = []media.Track{{Codec: media.Opus, Channels: int(p[9])}}
		o.headers++
	case o.headers == 1:
		o.headers++ // tags
	case len(p) > 0 && opus.PacketDuration2(p) > 0:
		o.packets = append(o.packets, p)
	}
	return nil
}

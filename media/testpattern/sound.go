package testpattern

import (
	"bytes"
	_ "embed"
	"fmt"
)

//go:generate sh hits.sh

// hits is an Ogg file of Opus packets, made by hits.sh.
//
//go:embed hits.ogg
var hits []byte

const (
	packetsPerSecond = 50 // of 20 ms
	loopFrom, loopTo = 2, 4
)

// loop returns the packets of two seconds of sound that repeat without a seam: they are taken after the encoder has
// settled, where the preceding and following packets are alike.
func loop(ogg []byte) ([][]byte, error) {
	packets, err := oggPackets(ogg)
	if err != nil {
		return nil, err
	}
	const headers = 2 // OpusHead and OpusTags (RFC 7845 section 3)
	from, to := headers+loopFrom*packetsPerSecond, headers+loopTo*packetsPerSecond
	if len(packets) < to {
		return nil, fmt.Errorf("ogg: %d packets, want at least %d", len(packets), to)
	}
	return packets[from:to], nil
}

// oggPackets returns the packets of an Ogg file with one stream (RFC 3533 section 6).
func oggPackets(ogg []byte) (packets [][]byte, err error) {
	const header = 27
	var packet []byte
	for len(ogg) > 0 {
		if len(ogg) < header || !bytes.HasPrefix(ogg, []byte("OggS")) {
			return nil, fmt.Errorf("ogg: no page %d bytes before the end", len(ogg))
		}
		segments := int(ogg[header-1])
		if len(ogg) < header+segments {
			return nil, fmt.Errorf("ogg: a page is cut short")
		}
		lacing, body := ogg[header:header+segments], ogg[header+segments:]
		for _, n := range lacing {
			if len(body) < int(n) {
				return nil, fmt.Errorf("ogg: a packet is cut short")
			}
			packet = append(packet, body[:n]...)
			body = body[n:]
			if n < 255 { // the last segment of a packet
				packets = append(packets, packet)
				packet = nil
			}
		}
		ogg = body
	}
	return packets, nil
}

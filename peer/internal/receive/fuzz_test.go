package receive

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/transport/v5/packetio"
)

// FuzzMediaIn gives the assembler of each codec a stream of packets, each two bytes of length, a mark and what a remote
// has written.
func FuzzMediaIn(f *testing.F) {
	f.Add(uint8(0), []byte{0, 3, 0, 0x67, 0x42, 0xc0, 0, 2, 0, 0x68, 1, 0, 3, 1, 0x65, 1, 2})
	f.Add(uint8(0), []byte{0, 4, 0, 0x7c, 0x85, 1, 2, 0, 4, 1, 0x7c, 0x45, 1, 2})
	f.Add(uint8(0), []byte{0, 6, 1, 0x78, 0, 3, 0x67, 0x42, 0xc0})
	f.Add(uint8(1), []byte{0, 5, 1, 0x10, 0, 0, 0, 0, 0, 2, 1, 0x10, 1})
	f.Add(uint8(2), []byte{0, 2, 1, 0xfc, 0xff})
	f.Fuzz(func(t *testing.T, which uint8, stream []byte) {
		codec := []media.Codec{media.H264, media.VP8, media.Opus, media.PCMU}[which%4]
		a := newAssembler(codec, codec.ClockRate())
		r := NewReceiver(nil, time.Now(), nil)
		r.open(codec)
		header := rtp.Header{Version: 2}
		for len(stream) > 3 {
			n := min(int(stream[0])<<8|int(stream[1]), len(stream)-3)
			header.Marker = stream[2]&1 == 1
			header.SequenceNumber += uint16(stream[2] >> 5)
			if header.Marker {
				header.Timestamp += 3000
			}
			a.push(&rtp.Packet{Header: header, Payload: stream[3 : 3+n]}, 0)
			stream = stream[3+n:]
			header.SequenceNumber++
			for f := a.pop(); f != nil; f = a.pop() {
				if codec.Video() && f.Size() == 0 {
					t.Error("a frame of nothing")
				}
				r.deliver(f, a)
			}
		}
	})
}

// FuzzRTPIn gives a stream of datagrams, each two bytes of length and RTP as it is after decryption, to all that reads
// it: our count, our interceptors, Pion's parser, the assembler of each codec.
func FuzzRTPIn(f *testing.F) {
	const ssrc = 1000
	add := func(which uint8, packets ...rtp.Packet) {
		var stream []byte
		for i, p := range packets {
			p.Version, p.SSRC, p.SequenceNumber = 2, ssrc, p.SequenceNumber+uint16(i)
			b, err := p.Marshal()
			if err != nil {
				f.Fatal(err)
			}
			stream = append(binary.BigEndian.AppendUint16(stream, uint16(len(b))), b...)
		}
		f.Add(which, stream)
	}
	end := rtp.Header{Marker: true, Timestamp: 3000}
	add(0, rtp.Packet{Payload: []byte{0x67, 0x42, 0xc0}}, rtp.Packet{Payload: []byte{0x68, 1}},
		rtp.Packet{Header: end, Payload: []byte{0x65, 1, 2}})
	add(0, rtp.Packet{Payload: []byte{0x7c, 0x85, 1, 2}},
		rtp.Packet{Header: rtp.Header{SequenceNumber: 500}, Payload: []byte{0x7c, 0x45, 1, 2}})
	add(1, rtp.Packet{Header: end, Payload: []byte{0x10, 0, 0, 0}})
	add(2, rtp.Packet{Header: rtp.Header{Padding: true, PaddingSize: 4}, Payload: []byte{0xfc, 0xff}})
	add(4, rtp.Packet{Payload: []byte{0x62, 1, 0x93, 1}}, rtp.Packet{Header: end, Payload: []byte{0x62, 1, 0x53, 1}})
	add(5, rtp.Packet{Header: end, Payload: []byte{0x8c, 0x81, 1, 0}})
	add(6, rtp.Packet{Header: end, Payload: []byte{0x10, 0x0a, 0x0b, 0}})
	codecs := []media.Codec{media.H264, media.VP8, media.Opus, media.PCMU, media.H265, media.VP9, media.AV1}
	f.Fuzz(func(t *testing.T, which uint8, stream []byte) {
		codec := codecs[int(which)%len(codecs)]
		in := countingIn()
		b := in.Buffer(packetio.RTPBufferPacket, ssrc)
		chain := interceptors(t)
		defer func() { _ = chain.Close() }()
		read := chain.BindRemoteStream(&interceptor.StreamInfo{
			SSRC: ssrc, ClockRate: codec.ClockRate(), RTCPFeedback: []interceptor.RTCPFeedback{{Type: "nack"}},
		}, interceptor.RTPReaderFunc(func(into []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
			n, err := b.Read(into)
			return n, a, err
		}))
		a, r := newAssembler(codec, codec.ClockRate()), NewReceiver(nil, time.Now(), nil)
		r.open(codec)
		into := make([]byte, 1500)
		for len(stream) > 2 {
			n := min(int(binary.BigEndian.Uint16(stream)), len(stream)-2)
			if _, err := b.Write(stream[2 : 2+n]); err != nil {
				return
			}
			stream = stream[2+n:]
			n, _, err := read.Read(into, interceptor.Attributes{})
			if err != nil {
				continue // Pion drops what its parser does not take
			}
			p := &rtp.Packet{}
			if p.Unmarshal(bytes.Clone(into[:n])) != nil {
				continue
			}
			a.push(p, 0)
			for frame := a.pop(); frame != nil; frame = a.pop() {
				if frame.Size() == 0 {
					t.Error("a frame of nothing")
				}
				r.deliver(frame, a)
			}
		}
	})
}

// interceptors are ours, as a connection has them.
func interceptors(t *testing.T) interceptor.Interceptor {
	t.Helper()
	registry, err := Interceptors(true)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := registry.Build("")
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// countingIn counts what comes in on no connection.
func countingIn() *transport.Inbound {
	g := &contain.Guard{Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: new(atomic.Uint64)}
	return transport.NewInbound(transport.Limits{}.Filled(), true, g, g.Log)
}

package peer

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/receive"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v5/packetio"
)

// counting is the writer of a track. It counts what is sent.
type counting struct{ packets, bytes int }

func (c *counting) WriteRTP(_ *rtp.Header, payload []byte) (int, error) {
	c.packets++
	c.bytes += len(payload)
	return len(payload), nil
}

func (c *counting) Write(b []byte) (int, error) { return c.WriteRTP(nil, b) }

// FuzzRTCPIn gives one datagram of RTCP to all that reads it: our count, our interceptors, Pion's parser, and what acts on it. It must not panic, and what is
// sent again because of it is in proportion to what was sent.
func FuzzRTCPIn(f *testing.F) {
	const ssrc = 4711
	for _, packets := range [][]rtcp.Packet{
		{&rtcp.PictureLossIndication{MediaSSRC: ssrc}},
		{&rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: 1}}}},
		{&rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: []rtcp.NackPair{{PacketID: 0, LostPackets: 0xffff}, {PacketID: 17, LostPackets: 0xffff}}}},
		{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: ssrc, FractionLost: 255, TotalLost: 1 << 23}}}},
		{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e9, SSRCs: []uint32{ssrc}}},
		{&rtcp.TransportLayerCC{MediaSSRC: ssrc, PacketStatusCount: 1, PacketChunks: []rtcp.PacketStatusChunk{
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 1},
		}, RecvDeltas: []*rtcp.RecvDelta{{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250}}, Header: rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5}}},
		{&rtcp.ExtendedReport{Reports: []rtcp.ReportBlock{&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: ssrc}}}}}},
		{&rtcp.SenderReport{SSRC: 1}, &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}}},
		{&rtcp.Goodbye{Sources: []uint32{1}}, &rtcp.ApplicationDefined{SSRC: 1, Name: "name"}},
	} {
		b, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	frame, err := (&fanout.packetiser{}).packetise(&media.Frame{Codec: media.H264, Key: true, Data: [][]byte{append([]byte{0x65}, bytes.Repeat([]byte{7}, 60_000)...)}})
	if err != nil {
		f.Fatal(err)
	}
	b := fanout.NewBroadcast(media.NewHub(media.HubOptions{}), nil)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		w := &counting{}
		track := fanout.NewTrack(media.H264)
		track.w, track.ssrc, track.pt, track.next, track.twcc = w, ssrc, 96, 0, 3
		s := fanout.NewSender(b, []*fanout.Track{track}, nil)
		if err := s.send(fanout.whole(frame), nil); err != nil {
			t.Fatal(err)
		}
		first := *w
		in := &transport.Inbound{limits: transport.Limits{}.Filled(), fail: func(error) {}}
		in.Watch(s.OnFeedback)
		buffer := in.Buffer(packetio.RTCPBufferPacket, ssrc)
		if _, err := buffer.Write(datagram); err != nil {
			return // larger than any datagram
		}
		chain := interceptors(t)
		defer func() { _ = chain.Close() }()
		read := chain.BindRTCPReader(interceptor.RTCPReaderFunc(func(into []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
			n, err := buffer.Read(into)
			return n, a, err
		}))
		into := make([]byte, 1500)
		n, _, err := read.Read(into, interceptor.Attributes{})
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(into[:n])
		if err != nil {
			return
		}
		for _, p := range packets {
			s.onRTCP(p, nil)
		}
		if again := w.bytes - first.bytes; again > fanout.rtxBudgetFirst+first.bytes/fanout.rtxShare {
			t.Errorf("%d bytes sent again after %d bytes", again, first.bytes)
		}
	})
}

// interceptors are ours, as a connection has them.
func interceptors(t *testing.T) interceptor.Interceptor {
	t.Helper()
	registry, err := receiving(true)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := registry.Build("")
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// FuzzRTPIn gives a stream of datagrams, each two bytes of length and RTP as it is after decryption, to all that reads it: our count, our interceptors, Pion's
// parser, the assembler of each codec.
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
	add(0, rtp.Packet{Payload: []byte{0x67, 0x42, 0xc0}}, rtp.Packet{Payload: []byte{0x68, 1}}, rtp.Packet{Header: end, Payload: []byte{0x65, 1, 2}})
	add(0, rtp.Packet{Payload: []byte{0x7c, 0x85, 1, 2}}, rtp.Packet{Header: rtp.Header{SequenceNumber: 500}, Payload: []byte{0x7c, 0x45, 1, 2}})
	add(1, rtp.Packet{Header: end, Payload: []byte{0x10, 0, 0, 0}})
	add(2, rtp.Packet{Header: rtp.Header{Padding: true, PaddingSize: 4}, Payload: []byte{0xfc, 0xff}})
	add(4, rtp.Packet{Payload: []byte{0x62, 1, 0x93, 1}}, rtp.Packet{Header: end, Payload: []byte{0x62, 1, 0x53, 1}})
	add(5, rtp.Packet{Header: end, Payload: []byte{0x8c, 0x81, 1, 0}})
	add(6, rtp.Packet{Header: end, Payload: []byte{0x10, 0x0a, 0x0b, 0}})
	codecs := []media.Codec{media.H264, media.VP8, media.Opus, media.PCMU, media.H265, media.VP9, media.AV1}
	f.Fuzz(func(t *testing.T, which uint8, stream []byte) {
		codec := codecs[int(which)%len(codecs)]
		in := &transport.Inbound{limits: transport.Limits{}.Filled(), Receive: true, fail: func(error) {}}
		b := in.Buffer(packetio.RTPBufferPacket, ssrc)
		chain := interceptors(t)
		defer func() { _ = chain.Close() }()
		read := chain.BindRemoteStream(&interceptor.StreamInfo{
			SSRC: ssrc, ClockRate: codec.ClockRate(), RTCPFeedback: []interceptor.RTCPFeedback{{Type: "nack"}},
		}, interceptor.RTPReaderFunc(func(into []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
			n, err := b.Read(into)
			return n, a, err
		}))
		a, r := receive.newAssembler(codec, codec.ClockRate()), receive.NewReceiver(nil, time.Now(), nil)
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

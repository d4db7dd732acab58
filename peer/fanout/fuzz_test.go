package fanout

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
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

// FuzzRTCPIn gives one datagram of RTCP to all that reads it: our count, our interceptors, Pion's parser, and what acts
// on it. It must not panic, and what is sent again because of it is in proportion to what was sent.
func FuzzRTCPIn(f *testing.F) {
	const ssrc = 4711
	for _, packets := range [][]rtcp.Packet{
		{&rtcp.PictureLossIndication{MediaSSRC: ssrc}},
		{&rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: 1}}}},
		{&rtcp.TransportLayerNack{MediaSSRC: ssrc,
			Nacks: []rtcp.NackPair{{PacketID: 0, LostPackets: 0xffff}, {PacketID: 17, LostPackets: 0xffff}}}},
		{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: ssrc, FractionLost: 255, TotalLost: 1 << 23}}}},
		{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e9, SSRCs: []uint32{ssrc}}},
		{&rtcp.TransportLayerCC{MediaSSRC: ssrc, PacketStatusCount: 1, PacketChunks: []rtcp.PacketStatusChunk{
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 1},
		}, RecvDeltas: []*rtcp.RecvDelta{{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250}},
			Header: rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5}}},
		{&rtcp.ExtendedReport{Reports: []rtcp.ReportBlock{
			&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: ssrc}}},
		}}},
		{&rtcp.SenderReport{SSRC: 1},
			&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 1,
				Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}}},
		{&rtcp.Goodbye{Sources: []uint32{1}}, &rtcp.ApplicationDefined{SSRC: 1, Name: "name"}},
	} {
		b, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	frame, err := (&packetiser{}).packetise(&media.Frame{Codec: media.H264, Key: true,
		Data: [][]byte{append([]byte{0x65}, bytes.Repeat([]byte{7}, 60_000)...)}})
	if err != nil {
		f.Fatal(err)
	}
	b := NewBroadcast(media.NewHub(media.HubOptions{}), nil)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		w := &counting{}
		track := NewTrack(media.H264)
		track.w, track.ssrc, track.pt, track.next, track.twcc = w, ssrc, 96, 0, 3
		s := NewSender(b, []*Track{track}, nil)
		if err := s.send(whole(frame), nil); err != nil {
			t.Fatal(err)
		}
		first := *w
		in := countingIn()
		in.Watch(s.OnFeedback)
		buffer := in.Buffer(packetio.RTCPBufferPacket, ssrc)
		if _, err := buffer.Write(datagram); err != nil {
			return // larger than any datagram
		}
		chain := interceptors(t)
		defer func() { _ = chain.Close() }()
		read := chain.BindRTCPReader(interceptor.RTCPReaderFunc(func(into []byte, a interceptor.Attributes) (int,
			interceptor.Attributes, error) {
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
		if again := w.bytes - first.bytes; again > rtxBudgetFirst+first.bytes/rtxShare {
			t.Errorf("%d bytes sent again after %d bytes", again, first.bytes)
		}
	})
}

// interceptors are ours, as a connection has them.
func interceptors(t *testing.T) interceptor.Interceptor {
	t.Helper()
	registry, err := receive.Interceptors(true)
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
	return transport.NewInbound(transport.Limits{}.Filled(), false, g, g.Log)
}

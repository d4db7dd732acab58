// Package rtpin is a source that receives RTP over UDP, as an SDP file describes it.
//
//	sender --RTP over UDP--> dgram (one sender) --> reordered --> depacket --units--> es.Writer
//	       --RTCP----------> on the next port, where a=rtcp says, or on the same port: sender reports for lipsync
//	es.Writer --frames--> lipsync --> sink
//
// The sender prints the file: ffmpeg with -sdp_file, GStreamer, an encoder's web page. Its ports and addresses are
// where the packets arrive.
package rtpin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/bluenviron/gortsplib/v5/pkg/rtpreceiver"
	"github.com/bluenviron/gortsplib/v5/pkg/rtptime"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
	"github.com/kvsagent/kvsagent/media/internal/dgram"
	"github.com/kvsagent/kvsagent/media/internal/es"
	"github.com/kvsagent/kvsagent/media/internal/lipsync"
)

// Limits on the SDP file.
const (
	maxSDP    = 64 << 10 // bytes
	maxMedias = 8
)

// Options says what arrives. Path is required.
type Options struct {
	Path      string     // of the SDP file
	Interface string     // that joins a multicast group; "" is the system's choice
	From      netip.Addr // the sender; if not set, the first one that sends to a port, until the next run

	// Foreign lets through audio that browsers cannot play. Otherwise it is left out and the log says so.
	Foreign bool

	Log *slog.Logger // nil means slog.Default
}

// Parse reads rtp:PATH or rtp:PATH?interface=eth0&from=192.0.2.10.
func Parse(raw string) (Options, error) {
	rest, ok := strings.CutPrefix(raw, "rtp:")
	path, query, _ := strings.Cut(rest, "?")
	if !ok || path == "" || strings.HasPrefix(path, "//") {
		return Options{}, fmt.Errorf("rtp source %q; hint: rtp:PATH names an SDP file, such as "+
			"rtp:/etc/kvsagent/encoder.sdp", raw)
	}
	var d dgram.Options
	if err := d.Query(query); err != nil {
		return Options{}, fmt.Errorf("rtp source %q: %w", raw, err)
	}
	return Options{Path: path, Interface: d.Interface, From: d.From}, nil
}

// Source plays one session. Make it with New.
type Source struct {
	o       Options
	silence es.Silence
	doubted sync.Once
}

var _ media.Source = (*Source)(nil)

// New checks the options. It does not read the file: Run does.
func New(o Options) (*Source, error) {
	if o.Path == "" {
		return nil, errors.New("rtp source without an SDP file")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Source{o: o}, nil
}

// Run listens until ctx is done or the session cannot be played, as media.Source requires.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.run(ctx, out)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, es.ErrBFrames) {
		err = fmt.Errorf("%w; hint: set the encoder's B-frames to 0", err)
	}
	return fmt.Errorf("rtp source %s: %w", s.o.Path, err)
}

// session is one run. Its tracks write one at a time.
type session struct {
	mu     sync.Mutex // guards the fields below
	w      *es.Writer
	clock  rtptime.GlobalDecoder
	avSync avSync
	err    error
	stop   context.CancelFunc
}

func (s *Source) run(ctx context.Context, out media.Sink) error {
	inputs, err := s.read(out)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ss := &session{stop: cancel, avSync: avSync{out: out, doubt: s.doubt}}
	ss.clock.Initialize()
	var tracks []media.Track
	for _, in := range inputs {
		tracks = append(tracks, in.track.Track)
	}
	ss.w = es.NewWriter(&ss.avSync, tracks...)
	ss.w.MeasureAll(func(codec media.Codec, times float64) {
		for _, in := range inputs {
			if in.track.Codec == codec {
				in.clock.Times = times
			}
		}
		es.TellRate(out, s.o.Log, codec, times)
	})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, in := range inputs {
		ss.w.Parameters(in.track.Sets...)
		conn, err := dgram.Listen(ctx, dgram.Options{Host: in.host, Port: in.port, Interface: s.o.Interface,
			From: s.o.From})
		if err != nil {
			return err
		}
		wg.Go(func() { <-ctx.Done(); _ = conn.Close() })
		wg.Go(func() { ss.fail(in.play(conn, ss)) })
		if reports := s.listenReports(ctx, in, inputs, conn); reports != nil {
			wg.Go(func() { <-ctx.Done(); _ = reports.Close() })
			wg.Go(func() { in.hear(reports, ss) })
		}
	}
	<-ctx.Done()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.err
}

// fail ends the session; the first reason counts.
func (ss *session) fail(err error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.err == nil {
		ss.err = err
	}
	ss.stop()
}

// input is one track of the session, with the address of its packets.
type input struct {
	host  string
	port  int
	rtcp  control
	forma format.Format
	track *depacket.Track
	clock lipsync.Clock // guarded by session.mu
}

// read reads the playable tracks from the file.
func (s *Source) read(out media.Sink) ([]*input, error) {
	info, err := os.Stat(s.o.Path)
	if err == nil && info.Size() > maxSDP {
		err = fmt.Errorf("%d bytes are too many for an SDP file", info.Size())
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(s.o.Path)
	if err != nil {
		return nil, err
	}
	inputs, silent, err := parse(text, s.o.Foreign)
	if silent != "" {
		s.silence.Tell(out, s.o.Log, silent, "set the sender's audio to Opus or G.711")
	}
	return inputs, err
}

// parse selects the first usable video and audio track. silent is the codec of audio that was left out.
func parse(text []byte, foreign bool) (inputs []*input, silent string, err error) {
	ssd, err := sdpunmarshaler.Unmarshal(text)
	if err != nil {
		return nil, "", fmt.Errorf("not an SDP file: %w", err)
	}
	if n := len(ssd.MediaDescriptions); n > maxMedias {
		return nil, "", fmt.Errorf("%d tracks; hint: at most %d", n, maxMedias)
	}
	have := map[bool]bool{}
	rates := depacket.ReadRates(text)
	var refused []string
	for _, md := range ssd.MediaDescriptions {
		in, err := newInput(ssd, md, rates)
		switch {
		case err != nil:
			refused = append(refused, err.Error())
			continue
		case es.Foreign(in.track.Codec) && !foreign:
			silent = string(in.track.Codec)
			refused = append(refused, silent)
			continue
		case have[in.track.Codec.Video()]:
			continue
		}
		have[in.track.Codec.Video()] = true
		inputs = append(inputs, in)
	}
	if len(inputs) == 0 {
		return nil, silent, fmt.Errorf("nothing to play; the file has: %s", strings.Join(refused, ", "))
	}
	if have[false] {
		silent = ""
	}
	return inputs, silent, nil
}

func newInput(ssd *sdp.SessionDescription, md *sdp.MediaDescription, rates depacket.Rates) (*input, error) {
	var m description.Media
	if err := m.Unmarshal(md); err != nil {
		return nil, err
	}
	if m.Profile != headers.TransportProfileAVP {
		return nil, fmt.Errorf("%s encrypted (SRTP)", m.Type)
	}
	address := md.ConnectionInformation
	if address == nil {
		address = ssd.ConnectionInformation
	}
	in := &input{port: md.MediaName.Port.Value, forma: m.Formats[0]}
	rates.Correct(in.forma)
	in.clock.Rate = in.forma.ClockRate()
	if address != nil && address.Address != nil {
		in.host, _, _ = strings.Cut(address.Address.Address, "/") // 239.0.0.1/32 has a TTL
	}
	if ip, err := netip.ParseAddr(in.host); err != nil || ip.IsUnspecified() {
		in.host = ""
	}
	if in.port < 1 || in.port > 65535 {
		return nil, fmt.Errorf("%s on port %d", m.Type, in.port)
	}
	in.rtcp = controlOf(md, in.host, in.port)
	var err error
	in.track, err = depacket.New(in.forma)
	return in, err
}

// play reads packets until the socket is closed.
func (in *input) play(conn *dgram.Conn, ss *session) error {
	order := &rtpreceiver.Receiver{
		ClockRate: in.forma.ClockRate(), UnrealiableTransport: true, Period: time.Hour,
		WritePacketRTCP: func(rtcp.Packet) {},
	}
	if err := order.Initialize(); err != nil {
		return err
	}
	defer order.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if isRTCP(buf[:n]) {
			ss.report(in, buf[:n])
			continue
		}
		pkt := &rtp.Packet{}
		if pkt.Unmarshal(append([]byte(nil), buf[:n]...)) != nil || pkt.PayloadType != in.forma.PayloadType() {
			continue // another stream
		}
		now := time.Now()
		packets, _ := order.ProcessPacket2(pkt, now, in.forma.PTSEqualsDTS(pkt))
		for _, pkt := range packets {
			if err := ss.packet(in, pkt, now); err != nil {
				return err
			}
		}
	}
}

// packet handles one packet, in order. Damage costs a frame.
func (ss *session) packet(in *input, pkt *rtp.Packet, now time.Time) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ticks, ok := ss.clock.Decode(in.forma, pkt)
	if !ok {
		return nil
	}
	rate := int64(in.forma.ClockRate())
	pts := time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate)*time.Second/time.Duration(rate)
	in.clock.Packet(pkt.SSRC)
	made := in.clock.At(pkt.Timestamp)
	units, _ := in.track.Packet(pkt)
	for _, u := range units {
		ss.avSync.made = made
		if !made.IsZero() {
			ss.avSync.made = made.Add(u.Offset)
		}
		if err := ss.w.Write(in.track.Codec, pts+u.Offset, now, u.Data); err != nil {
			return err
		}
	}
	return nil
}

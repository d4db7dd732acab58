// Command naive is what the benchmark compares with: a bare Pion fan-out. One pair of tracks shared by all connections,
// default codecs, default interceptors, an HTTP POST for signaling.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/file"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

func main() {
	path := flag.String("file", "", "MP4 file to play")
	twcc := flag.Bool("twcc", false, "number packets for transport-wide feedback")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *path, *twcc); err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string, twcc bool) error {
	src, err := file.New(file.Options{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	out, err := newSink()
	if err != nil {
		return err
	}
	api, err := newAPI(twcc)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: &answerer{api: api, tracks: out}, ReadTimeout: 10 * time.Second}
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(l) }()
	go func() { ended <- src.Run(ctx, out) }()
	fmt.Printf("http://%s/\n", l.Addr())
	err = <-ended
	srv.Close()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func newAPI(twcc bool) (*webrtc.API, error) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if !twcc {
		return webrtc.NewAPI(webrtc.WithSettingEngine(s)), nil // Pion's own defaults
	}
	m, r := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(m, r); err != nil {
		return nil, err
	}
	if err := webrtc.RegisterDefaultInterceptors(m, r); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r)), nil
}

// sink packetises frames into the two tracks. It is a media.Sink.
type sink struct {
	video, audio         *webrtc.TrackLocalStaticRTP
	videoCuts, audioCuts rtp.Packetizer
}

const mtu = 1200

func newSink() (*sink, error) {
	video, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video",
		"naive")
	if err != nil {
		return nil, err
	}
	audio, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio",
		"naive")
	if err != nil {
		return nil, err
	}
	return &sink{
		video: video, videoCuts: rtp.NewPacketizer(mtu, 0, 0, &codecs.H264Payloader{}, rtp.NewRandomSequencer(),
			media.H264.ClockRate()),
		audio: audio, audioCuts: rtp.NewPacketizer(mtu, 0, 0, &codecs.OpusPayloader{}, rtp.NewRandomSequencer(),
			media.Opus.ClockRate()),
	}, nil
}

// Tracks implements media.Sink.
func (*sink) Tracks([]media.Track) {}

// Write implements media.Sink.
func (s *sink) Write(f *media.Frame) {
	track, cuts, data := s.audio, s.audioCuts, []byte(nil)
	for _, d := range f.Data {
		if f.Codec == media.H264 {
			track, cuts = s.video, s.videoCuts
			data = append(data, 0, 0, 0, 1)
		}
		data = append(data, d...)
	}
	timestamp := uint32(f.PTS.Microseconds() * int64(f.Codec.ClockRate()) / 1e6)
	for _, p := range cuts.Packetize(data, 0) {
		p.Timestamp = timestamp
		_ = track.WriteRTP(p) // one viewer that has gone is no matter to the others
	}
}

// answerer takes offers.
type answerer struct {
	api    *webrtc.API
	tracks *sink
}

func (a *answerer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	offer, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil {
		var answer string
		if answer, err = a.answer(string(offer)); err == nil {
			_, err = io.WriteString(w, answer)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (a *answerer) answer(offer string) (string, error) {
	pc, err := a.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateDisconnected ||
			s == webrtc.PeerConnectionStateClosed {
			go pc.Close()
		}
	})
	answer, err := a.negotiate(pc, offer)
	if err != nil {
		pc.Close()
		return "", err
	}
	return answer, nil
}

func (a *answerer) negotiate(pc *webrtc.PeerConnection, offer string) (string, error) {
	for _, t := range []webrtc.TrackLocal{a.tracks.video, a.tracks.audio} {
		sender, err := pc.AddTrack(t)
		if err != nil {
			return "", err
		}
		go drain(sender)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered // loopback alone: no waiting
	return pc.LocalDescription().SDP, nil
}

// drain reads RTCP, so that the interceptors see it.
func drain(s *webrtc.RTPSender) {
	for {
		if _, _, err := s.ReadRTCP(); err != nil {
			return
		}
	}
}

package peer_test

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// quietMaster answers our viewer without a=ssrc, and sends a picture and a sound.
type quietMaster struct {
	pc     *webrtc.PeerConnection
	tracks []*webrtc.TrackLocalStaticRTP
	viewer *peer.Conn
	offer  string
}

// newQuietMaster connects our viewer to one. mids says whether its packets name their sections.
func newQuietMaster(t *testing.T, mids bool) *quietMaster {
	t.Helper()
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	if mids {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI},
				kind); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := webrtc.SettingEngine{LoggerFactory: quiet}
	s.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m),
		webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	q := &quietMaster{pc: pc}
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeOpus} {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, mime, "s")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pc.AddTrack(track); err != nil {
			t.Fatal(err)
		}
		q.tracks = append(q.tracks, track)
	}
	signals := make(chan peer.Signal, 64)
	if q.viewer, err = peer.New(peer.Config{Engine: engine(t), Receive: true, Offer: true,
		Send: func(s peer.Signal) { signals <- s }}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = q.viewer.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	q.offer = (<-signals).(peer.Offer).SDP
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: q.offer}); err != nil {
		t.Fatal(err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	full := pc.LocalDescription().SDP
	bare := regexp.MustCompile(`a=(ssrc|ssrc-group|msid):?[^\r]*\r\n`).ReplaceAllString(full, "")
	if bare == full {
		t.Fatal("the answer had no a=ssrc to begin with")
	}
	q.viewer.Handle(peer.Answer{SDP: bare})
	wg.Go(func() {
		for {
			select {
			case s := <-signals:
				if c, ok := s.(peer.Candidate); ok {
					_ = pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.Candidate})
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return q
}

// send sends a key frame of VP8 and 20 ms of silence, with an extension that names the section when id is not 0.
func (q *quietMaster) send(seq uint16, id uint8) {
	for i, payload := range [][]byte{
		{0x10, 0x50, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0, 0, 0, 0}, {0xf8, 0xff, 0xfe},
	} {
		h := rtp.Header{Version: 2, Marker: true, SequenceNumber: seq, Timestamp: uint32(seq) * 960}
		if id != 0 {
			_ = h.SetExtension(id, []byte(q.pc.GetTransceivers()[i].Mid()))
		}
		_ = q.tracks[i].WriteRTP(&rtp.Packet{Header: h, Payload: payload})
	}
}

// TestAnswerWithoutSSRC: GStreamer's and libdatachannel's masters declare no SSRC, and their media is taken, whether
// its packets name their section or not.
func TestAnswerWithoutSSRC(t *testing.T) {
	for _, mids := range []bool{false, true} {
		t.Run(map[bool]string{true: "with mids", false: "without mids"}[mids], func(t *testing.T) {
			q := newQuietMaster(t, mids)
			line := regexp.MustCompile(`a=extmap:(\d+) ` + sdp.SDESMidURI).FindStringSubmatch(q.offer)
			if line == nil {
				t.Fatalf("the offer does not have sdes:mid:\n%s", q.offer)
			}
			var id uint8
			if mids {
				id = line[1][0] - '0'
			}
			seq := uint16(0)
			eventually(t, 20*time.Second, "both tracks give frames", func() bool {
				seq++
				q.send(seq, id)
				got := map[media.Codec]uint64{}
				for _, r := range q.viewer.Report().Receiving {
					got[r.Codec] = r.Frames
				}
				return got[media.VP8] > 5 && got[media.Opus] > 5
			})
			if r := q.viewer.Report(); r.Stray != "" {
				t.Errorf("media went astray: %s", r.Stray)
			}
		})
	}
}

// TestMediaOfNoSection: media of a payload type that nobody negotiated is named in the report.
func TestMediaOfNoSection(t *testing.T) {
	q := newQuietMaster(t, false)
	seq := uint16(0)
	writer := &anyWriter{TrackLocalStaticRTP: q.tracks[0]}
	if err := q.pc.GetSenders()[0].ReplaceTrack(writer); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the report tells of media that belongs to no section", func() bool {
		seq++
		writer.mu.Lock()
		if writer.w != nil {
			_, _ = writer.w.WriteRTP(&rtp.Header{Version: 2, PayloadType: 35, SSRC: 77, SequenceNumber: seq},
				make([]byte, 20))
		}
		writer.mu.Unlock()
		return strings.Contains(q.viewer.Report().Stray, "payload type 35")
	})
	for _, r := range q.viewer.Report().Receiving {
		if r.Packets != 0 {
			t.Errorf("%d packets of %s were counted", r.Packets, r.Codec)
		}
	}
}

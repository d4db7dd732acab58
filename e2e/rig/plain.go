package rig

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// Plain is what a first picture is compared with: a bare Pion master of a live path, which keeps nothing for newcomers.
// They wait for the camera's next key frame.
type Plain struct {
	api   *webrtc.API
	track *webrtc.TrackLocalStaticSample

	URL string // takes offers by POST
}

func (p *Plain) serve(t testing.TB, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	offer, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil {
		var answer string
		if answer, err = p.answer(t, string(offer)); err == nil {
			_, err = io.WriteString(w, answer)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// answer makes a connection, which is closed with the test, and gives its answer with all candidates.
func (p *Plain) answer(t testing.TB, offer string) (string, error) {
	pc, err := p.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	var reading sync.WaitGroup
	t.Cleanup(func() {
		_ = pc.GracefulClose()
		reading.Wait()
	})
	sender, err := pc.AddTrack(p.track)
	if err != nil {
		return "", err
	}
	reading.Go(func() { // what the viewer reports: Pion's NACK responder lives on it
		for {
			if _, _, err := sender.ReadRTCP(); err != nil {
				return
			}
		}
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("answer: %w", err)
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// StartPlain serves a path of the camera until the test ends.
func StartPlain(t testing.TB, l *LiveCamera, path string) *Plain {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	// Firefox does not go to 127.0.0.1 from another address.
	s.SetIPFilter(func(ip net.IP) bool { return ip.To4() != nil })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: "video/" +
		l.Paths[path].Clip.Codec}, "video", "plain")
	if err != nil {
		t.Fatal(err)
	}
	p := &Plain{api: webrtc.NewAPI(webrtc.WithSettingEngine(s)), track: track}
	l.hear(path, func(unit [][]byte) {
		data := unit[0]
		if l.Paths[path].Clip.Codec == "H264" {
			data = nil
			for _, nal := range unit {
				data = append(append(data, 0, 0, 0, 1), nal...)
			}
		}
		_ = track.WriteSample(media.Sample{Data: data, Duration: ReelTick}) // a viewer that has gone is no matter
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(t, w, r) }))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

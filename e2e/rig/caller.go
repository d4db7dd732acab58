package rig

import (
	"encoding/base64"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/kvsagent/kvsagent/localkvs"
)

// Caller is a viewer made of Pion alone. It offers with all its candidates, and gets the answer with all of ours.
type Caller struct {
	Id     string
	Raw    *Raw
	PC     *webrtc.PeerConnection
	Writer *anyWriter
	Answer string
	up     chan struct{} // closed when connected
	over   chan struct{} // closed when the connection is
}

// Offer is the caller's, with its candidates in it.
func (c *Caller) Offer(t testing.TB) string {
	t.Helper()
	if c.PC.LocalDescription() == nil {
		offer, err := c.PC.CreateOffer(nil)
		if err != nil {
			t.Fatal(err)
		}
		gathered := webrtc.GatheringCompletePromise(c.PC)
		if err := c.PC.SetLocalDescription(offer); err != nil {
			t.Fatal(err)
		}
		<-gathered
	}
	return c.PC.LocalDescription().SDP
}

// Connect offers until it is answered: one offer of many at a time may not be heard.
func (c *Caller) Connect(t testing.TB) {
	t.Helper()
	payload, err := json.Marshal(map[string]string{"type": "offer", "sdp": c.Offer(t)})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 16)
	go c.listen(answers)
	for try := 0; c.Answer == ""; try++ {
		c.Raw.Message("SDP_OFFER", string(payload))
		select {
		case sdp := <-answers:
			c.Answer = sdp
		case <-time.After(3 * time.Second):
			if try == 5 {
				t.Fatalf("%s: no answer", c.Id)
			}
		}
	}
	if err := c.PC.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer,
		SDP: c.Answer}); err != nil {
		t.Fatalf("%s: %v in %s", c.Id, err, c.Answer)
	}
	select {
	case <-c.up:
	case <-time.After(15 * time.Second):
		t.Fatalf("%s: not connected", c.Id)
	}
}

// listen reads the WebSocket to its end.
func (c *Caller) listen(answers chan<- string) {
	for {
		kind, frame, err := c.Raw.Conn.ReadMessage()
		if err != nil {
			return
		}
		var m struct {
			MessageType    string `json:"messageType"`
			MessagePayload string `json:"messagePayload"`
		}
		if kind != websocket.TextMessage || json.Unmarshal(frame, &m) != nil || m.MessageType != "SDP_ANSWER" {
			continue
		}
		var answer struct {
			SDP string `json:"sdp"`
		}
		if payload, err := base64.StdEncoding.DecodeString(m.MessagePayload); err == nil &&
			json.Unmarshal(payload, &answer) == nil {
			answers <- answer.SDP
		}
	}
}

// Received is how many bytes have come over the connection.
func (c *Caller) Received() uint64 {
	for _, s := range c.PC.GetStats() {
		if ts, ok := s.(webrtc.TransportStats); ok {
			return ts.BytesReceived
		}
	}
	return 0
}

// SSRC is that of the first track that the agent sends.
func (c *Caller) SSRC() uint32 { return uint32(c.PC.GetReceivers()[0].Track().SSRC()) }

// CallerOptions say what is not like any other viewer.
type CallerOptions struct {
	Settings webrtc.SettingEngine
	Bare     bool // answers and asks nothing by itself: no receiver reports, no NACK
	Channel  bool // offers a data channel
	OnTrack  func(*webrtc.TrackRemote)
}

// NewCaller makes the connection and opens its signaling. It has not offered yet.
func NewCaller(t testing.TB, service *localkvs.Server, arn, id string, o CallerOptions) *Caller {
	t.Helper()
	m := &webrtc.MediaEngine{}
	for kind, codec := range map[webrtc.RTPCodecType]webrtc.RTPCodecParameters{
		webrtc.RTPCodecTypeVideo: {PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
			SDPFmtpLine:  "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}},
		}},
		webrtc.RTPCodecTypeAudio: {PayloadType: 111,
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000,
				Channels: 2}},
	} {
		if err := m.RegisterCodec(codec, kind); err != nil {
			t.Fatal(err)
		}
	}
	registry := &interceptor.Registry{}
	if !o.Bare {
		if err := webrtc.ConfigureNack(m, registry); err != nil {
			t.Fatal(err)
		}
		if err := webrtc.ConfigureRTCPReports(registry); err != nil {
			t.Fatal(err)
		}
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(o.Settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	c := &Caller{Id: id, PC: pc, Raw: DialRaw(t, service.URL(), arn, id), up: make(chan struct{}),
		over: make(chan struct{})}
	static, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264,
		ClockRate: 90000}, "v", "s")
	if err != nil {
		t.Fatal(err)
	}
	c.Writer = &anyWriter{TrackLocalStaticRTP: static}
	if _, err := pc.AddTransceiverFromTrack(c.Writer); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	if o.Channel {
		if _, err := pc.CreateDataChannel("kvsDataChannel", nil); err != nil {
			t.Fatal(err)
		}
	}
	var up, over sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			up.Do(func() { close(c.up) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			over.Do(func() { close(c.over) })
		}
	})
	if o.OnTrack != nil {
		pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { o.OnTrack(track) })
	}
	return c
}

// anyWriter is a local track that writes whatever header it is given.
type anyWriter struct {
	*webrtc.TrackLocalStaticRTP
	mu sync.Mutex // guards w
	w  webrtc.TrackLocalWriter
}

// Bind implements webrtc.TrackLocal.
func (a *anyWriter) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	a.mu.Lock()
	a.w = c.WriteStream()
	a.mu.Unlock()
	return a.TrackLocalStaticRTP.Bind(c)
}

// Write sends one packet of zeros with such a header.
func (a *anyWriter) Write(ssrc uint32, seq uint16, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = a.w.WriteRTP(&rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: seq}, make([]byte, size))
}

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// caller is a viewer made of Pion alone. It offers with all its candidates, and gets the answer with all of ours.
type caller struct {
	id     string
	raw    *raw
	pc     *webrtc.PeerConnection
	writer *anyWriter
	answer string
	up     chan struct{} // closed when connected
	over   chan struct{} // closed when the connection is
}

// callerOptions say what is not like any other viewer.
type callerOptions struct {
	settings webrtc.SettingEngine
	bare     bool // answers and asks nothing by itself: no receiver reports, no NACK
	channel  bool // offers a data channel
	onTrack  func(*webrtc.TrackRemote)
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

func (a *anyWriter) write(ssrc uint32, seq uint16, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = a.w.WriteRTP(&rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: seq}, make([]byte, size))
}

// newCaller makes the connection and opens its signaling. It has not offered yet.
func newCaller(t *testing.T, service *localkvs.Server, arn, id string, o callerOptions) *caller {
	t.Helper()
	m := &webrtc.MediaEngine{}
	for kind, codec := range map[webrtc.RTPCodecType]webrtc.RTPCodecParameters{
		webrtc.RTPCodecTypeVideo: {PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}},
		}},
		webrtc.RTPCodecTypeAudio: {PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}},
	} {
		if err := m.RegisterCodec(codec, kind); err != nil {
			t.Fatal(err)
		}
	}
	registry := &interceptor.Registry{}
	if !o.bare {
		if err := webrtc.ConfigureNack(m, registry); err != nil {
			t.Fatal(err)
		}
		if err := webrtc.ConfigureRTCPReports(registry); err != nil {
			t.Fatal(err)
		}
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(o.settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	c := &caller{id: id, pc: pc, raw: dialRaw(t, service.URL(), arn, id), up: make(chan struct{}), over: make(chan struct{})}
	static, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}, "v", "s")
	if err != nil {
		t.Fatal(err)
	}
	c.writer = &anyWriter{TrackLocalStaticRTP: static}
	if _, err := pc.AddTransceiverFromTrack(c.writer); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	if o.channel {
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
	if o.onTrack != nil {
		pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { o.onTrack(track) })
	}
	return c
}

// offer is the caller's, with its candidates in it.
func (c *caller) offer(t *testing.T) string {
	t.Helper()
	if c.pc.LocalDescription() == nil {
		offer, err := c.pc.CreateOffer(nil)
		if err != nil {
			t.Fatal(err)
		}
		gathered := webrtc.GatheringCompletePromise(c.pc)
		if err := c.pc.SetLocalDescription(offer); err != nil {
			t.Fatal(err)
		}
		<-gathered
	}
	return c.pc.LocalDescription().SDP
}

// connect offers until it is answered: one offer of many at a time may not be heard.
func (c *caller) connect(t *testing.T) {
	t.Helper()
	payload, err := json.Marshal(map[string]string{"type": "offer", "sdp": c.offer(t)})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 16)
	go c.listen(answers)
	for try := 0; c.answer == ""; try++ {
		c.raw.message("SDP_OFFER", string(payload))
		select {
		case sdp := <-answers:
			c.answer = sdp
		case <-time.After(3 * time.Second):
			if try == 5 {
				t.Fatalf("%s: no answer", c.id)
			}
		}
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: c.answer}); err != nil {
		t.Fatalf("%s: %v in %s", c.id, err, c.answer)
	}
	select {
	case <-c.up:
	case <-time.After(15 * time.Second):
		t.Fatalf("%s: not connected", c.id)
	}
}

// listen reads the WebSocket to its end.
func (c *caller) listen(answers chan<- string) {
	for {
		kind, frame, err := c.raw.conn.ReadMessage()
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
		if payload, err := base64.StdEncoding.DecodeString(m.MessagePayload); err == nil && json.Unmarshal(payload, &answer) == nil {
			answers <- answer.SDP
		}
	}
}

// received is how many bytes have come over the connection.
func (c *caller) received() uint64 {
	for _, s := range c.pc.GetStats() {
		if ts, ok := s.(webrtc.TransportStats); ok {
			return ts.BytesReceived
		}
	}
	return 0
}

// tally counts the packets and pictures of one video track.
type tally struct {
	mu     sync.Mutex // guards the fields below
	high   uint64     // highest extended sequence number
	first  uint64
	seen   map[uint64]bool
	stamps map[uint32]bool
	from   uint32 // timestamps
	to     uint32
}

func (y *tally) watch(track *webrtc.TrackRemote) {
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if track.Kind() != webrtc.RTPCodecTypeVideo {
			continue
		}
		y.add(p)
	}
}

func (y *tally) add(p *rtp.Packet) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.seen == nil {
		y.seen, y.stamps = map[uint64]bool{}, map[uint32]bool{}
		y.first = 1<<16 + uint64(p.SequenceNumber)
		y.high, y.from, y.to = y.first, p.Timestamp, p.Timestamp
	}
	n := y.high + uint64(int64(int16(p.SequenceNumber-uint16(y.high))))
	y.seen[n], y.stamps[p.Timestamp] = true, true
	y.high = max(y.high, n)
	if int32(p.Timestamp-y.to) > 0 {
		y.to = p.Timestamp
	}
}

// lost is how many pictures came in all, how many packets did not, up to the number given, and how many pictures were never sent.
func (y *tally) lost(upTo uint64, step uint32) (frames, packets, skipped int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for n := y.first; n <= upTo; n++ {
		if !y.seen[n] {
			packets++
		}
	}
	return len(y.stamps), packets, int((y.to-y.from+step/2)/step) + 1 - len(y.stamps)
}

func (y *tally) highest() uint64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.high
}

func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return fmt.Sprintf("%d pictures", len(y.stamps))
}

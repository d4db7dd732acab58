package storage

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/kvsagent/kvsagent/localkvs"
)

const (
	maxCandidates = 100 // of one peer; more are ignored
	beat          = 500 * time.Millisecond
)

// call is one peer connection with its signaling: we offer, the peer answers, both trickle. After run has returned it
// is finished.
type call struct {
	ctx    context.Context // done when the session is over; made in dial, cancelled with the call
	cancel context.CancelFunc
	ss     *localkvs.StorageSession
	pc     *webrtc.PeerConnection
	log    *slog.Logger
	work   sync.WaitGroup    // readers
	todo   chan func() error // for the goroutine that owns the call

	// Owned by run, set before it.
	onAnswer func() error // after the answer
	onTrack  func(*webrtc.TrackRemote) error
	onBeat   func(time.Time) error
	onEnd    func() error

	answered   bool
	early      []webrtc.ICECandidateInit // before the answer
	candidates int
}

// dial makes the peer connection. The caller must close it.
func dial(ctx context.Context, ss *localkvs.StorageSession, log *slog.Logger) (*call, error) {
	pc, err := newPeer(ss.TURN, log)
	if err != nil {
		return nil, fmt.Errorf("peer connection: %w", err)
	}
	c := &call{ss: ss, pc: pc, log: log, todo: make(chan func() error, 64)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.onAnswer = func() error { return nil }
	c.onTrack = func(*webrtc.TrackRemote) error { return nil }
	c.onBeat = func(time.Time) error { return nil }
	c.onEnd = func() error { return nil }
	return c, nil
}

// close ends what the call started, and waits for it.
func (c *call) close() {
	c.cancel()
	if err := c.pc.GracefulClose(); err != nil {
		c.log.Debug("close", "err", err)
	}
	c.work.Wait()
}

// post passes f to the goroutine that owns the call.
func (c *call) post(f func() error) {
	select {
	case c.todo <- f:
	case <-c.ctx.Done():
	}
}

// run makes the offer, and is the goroutine that owns the call until it ends.
func (c *call) run() (err error) {
	defer func() { err = cmp.Or(c.onEnd(), err) }()
	c.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { c.post(func() error { return c.onTrack(t) }) })
	c.pc.OnConnectionStateChange(func(st webrtc.PeerConnectionState) { c.post(func() error { return c.state(st) }) })
	c.pc.OnICECandidate(func(ic *webrtc.ICECandidate) {
		if ic != nil {
			c.post(func() error { return c.trickle(ic) })
		}
	})
	if err := c.offer(); err != nil {
		return err
	}
	c.work.Go(c.listen)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case f := <-c.todo:
			err = f()
		case now := <-tick.C:
			err = c.onBeat(now)
		case <-c.ctx.Done():
			err = c.ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (c *call) offer() error {
	offer, err := c.pc.CreateOffer(&webrtc.OfferOptions{
		OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	if err := c.send("SDP_OFFER", offer); err != nil { // before there are candidates
		return err
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	return nil
}

// trickle sends a candidate as the service does, without sdpMid. (KVS WebRTC developer guide, "Connect to the storage
// session".)
func (c *call) trickle(ic *webrtc.ICECandidate) error {
	var first uint16
	return c.send("ICE_CANDIDATE", struct {
		Candidate     string  `json:"candidate"`
		SDPMLineIndex *uint16 `json:"sdpMLineIndex"`
	}{ic.ToJSON().Candidate, &first})
}

func (c *call) send(kind string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("send %s: %w", kind, err)
	}
	if err := c.ss.Send(localkvs.StorageMessage{Type: kind,
		Payload: base64.StdEncoding.EncodeToString(text)}); err != nil {
		return fmt.Errorf("send %s: %w", kind, err)
	}
	return nil
}

// listen passes on the peer's messages.
func (c *call) listen() {
	for {
		m, err := c.ss.Receive(c.ctx)
		if err != nil {
			return
		}
		c.post(func() error { return c.hear(m) })
	}
}

// hear handles one message. Only an unusable answer ends the session. Other nonsense is ignored, since the peer may
// send something better.
func (c *call) hear(m localkvs.StorageMessage) error {
	text, err := decode(m.Payload)
	if err != nil {
		c.log.Info("message is not base64", "type", m.Type)
		return nil
	}
	switch m.Type {
	case "SDP_ANSWER":
		return c.answer(text)
	case "ICE_CANDIDATE":
		var ic webrtc.ICECandidateInit
		if c.candidates++; c.candidates > maxCandidates {
			return nil
		}
		if err := json.Unmarshal(text, &ic); err != nil {
			c.log.Info("candidate is not JSON", "err", err)
			return nil
		}
		c.candidate(ic)
	default:
		c.log.Info("message is of no use to a storage session", "type", m.Type)
	}
	return nil
}

func (c *call) answer(text []byte) error {
	var d webrtc.SessionDescription
	if err := json.Unmarshal(text, &d); err != nil || d.Type != webrtc.SDPTypeAnswer {
		return errors.New("the answer is not the JSON of an SDP answer")
	}
	if c.answered {
		c.log.Info("second answer ignored")
		return nil
	}
	if err := c.pc.SetRemoteDescription(d); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	c.answered = true
	for _, ic := range c.early {
		c.candidate(ic)
	}
	c.early = nil
	return c.onAnswer()
}

func (c *call) candidate(ic webrtc.ICECandidateInit) {
	if !c.answered {
		c.early = append(c.early, ic)
		return
	}
	if err := c.pc.AddICECandidate(ic); err != nil {
		c.log.Info("candidate refused", "err", err)
	}
}

func (c *call) state(st webrtc.PeerConnectionState) error {
	c.log.Debug("connection", "state", st)
	if st == webrtc.PeerConnectionStateFailed || st == webrtc.PeerConnectionStateClosed {
		return fmt.Errorf("the connection has %s", st)
	}
	return nil
}

// agreed reports whether the answer has both kinds of media in a direction, sendonly or recvonly, or both ways; the
// error says which is missing.
func (c *call) agreed(direction string) error {
	var answer sdp.SessionDescription // Pion's own copy belongs to Pion
	if err := answer.UnmarshalString(c.pc.RemoteDescription().SDP); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	for _, kind := range []string{"video", "audio"} {
		if !slices.ContainsFunc(answer.MediaDescriptions,
			func(m *sdp.MediaDescription) bool { return carries(m, kind, direction) }) {
			return fmt.Errorf("the answer has no %s that is %s; hint: a storage session needs H.264 video and Opus "+
				"audio, both", kind, direction)
		}
	}
	return nil
}

func carries(m *sdp.MediaDescription, kind, direction string) bool {
	if m.MediaName.Media != kind || m.MediaName.Port.Value == 0 {
		return false
	}
	for _, a := range m.Attributes {
		switch a.Key {
		case "inactive", "sendonly", "recvonly", "sendrecv":
			return a.Key == direction || a.Key == "sendrecv"
		}
	}
	return true // sendrecv is the default (RFC 8866, section 6.7)
}

// decode accepts both base64 alphabets, padded or not.
func decode(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	return base64.RawStdEncoding.DecodeString(s)
}

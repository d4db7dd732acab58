package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/pion/webrtc/v4"
)

// Signaling is how viewers find a server.
type Signaling interface {
	// Dial gets ready to send an offer.
	Dial(ctx context.Context, client string) (Session, error)
}

// Session is one viewer's signaling.
type Session interface {
	// Exchange sends an offer and waits for the answer. Candidates of the other side go to add, after Answered and from
	// another goroutine.
	Exchange(ctx context.Context, offer string, add func(webrtc.ICECandidateInit)) (answer string, err error)
	// Answered says that candidates can be taken.
	Answered()
	Close()
}

// HTTP is signaling by one POST: offer in, answer with all its candidates out.
type HTTP struct {
	URL   string
	Delay time.Duration // of each message
}

// Dial implements Signaling.
func (h HTTP) Dial(context.Context, string) (Session, error) { return httpSession(h), nil }

type httpSession HTTP

func (s httpSession) Exchange(ctx context.Context, offer string, _ func(webrtc.ICECandidateInit)) (string, error) {
	if err := Sleep(ctx, s.Delay); err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("offer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("offer: %s %s %w", resp.Status, body, err)
	}
	return string(body), Sleep(ctx, s.Delay)
}

func (httpSession) Answered() {}
func (httpSession) Close()    {}

// KVS is signaling through a channel of a KVS service, with localkvs's keys.
type KVS struct {
	Endpoint, Channel string
	Delay             time.Duration // of each message
}

// Dial implements Signaling: it finds the channel and opens the WebSocket.
func (k KVS) Dial(ctx context.Context, client string) (Session, error) {
	c, err := signaling.New(signaling.Options{
		Channel: k.Channel, Role: signaling.Viewer, ClientID: client, Region: "us-west-2", Endpoint: k.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("localkvs", "localkvs", ""),
	})
	if err != nil {
		return nil, err
	}
	s := &kvsSession{client: c, sent: newLate(k.Delay), received: newLate(k.Delay), connected: make(chan struct{}),
		answer: make(chan string, 1), refused: make(chan error, 1)}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.work.Go(func() {
		if err := c.Run(running, s.on); err != nil {
			s.fail(err)
		}
	})
	select {
	case <-s.connected:
		return s, nil
	case err = <-s.refused:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.Close()
	return nil, fmt.Errorf("signaling: %w", err)
}

type kvsSession struct {
	client    *signaling.Client
	sent      *late
	received  *late
	stop      context.CancelFunc
	work      sync.WaitGroup
	once      sync.Once
	connected chan struct{}
	answer    chan string // 1 slot
	refused   chan error  // 1 slot

	mu       sync.Mutex // guards the fields below
	add      func(webrtc.ICECandidateInit)
	answered bool
	early    []webrtc.ICECandidateInit // before the answer, which they may overtake
}

func (s *kvsSession) on(e signaling.Event) {
	switch e := e.(type) {
	case signaling.Connected:
		s.once.Do(func() { close(s.connected) })
	case signaling.Refused:
		s.fail(e.Err)
	case signaling.Received:
		s.received.do(func() { s.onMessage(e.Message) })
	}
}

func (s *kvsSession) onMessage(m signaling.Message) {
	switch m.Type {
	case signaling.SDPAnswer:
		var d webrtc.SessionDescription
		if err := json.Unmarshal(m.Payload, &d); err != nil {
			s.fail(fmt.Errorf("answer: %w", err))
			return
		}
		select {
		case s.answer <- d.SDP:
		default:
		}
	case signaling.ICECandidate:
		var c webrtc.ICECandidateInit
		if json.Unmarshal(m.Payload, &c) != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.add == nil || !s.answered {
			s.early = append(s.early, c)
			return
		}
		s.add(c)
	}
}

func (s *kvsSession) fail(err error) {
	select {
	case s.refused <- err:
	default:
	}
}

func (s *kvsSession) Exchange(ctx context.Context, offer string, add func(webrtc.ICECandidateInit)) (string, error) {
	s.mu.Lock()
	s.add = add
	s.mu.Unlock()
	var payload bytes.Buffer
	if err := json.NewEncoder(&payload).Encode(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer,
		SDP: offer}); err != nil {
		return "", err
	}
	s.sent.do(func() {
		if err := s.client.Send(signaling.Message{Type: signaling.SDPOffer, Payload: payload.Bytes()}); err != nil {
			s.fail(err)
		}
	})
	select {
	case answer := <-s.answer:
		return answer, nil
	case err := <-s.refused:
		return "", fmt.Errorf("offer: %w", err)
	case <-ctx.Done():
		return "", errors.Join(errors.New("no answer"), ctx.Err())
	}
}

func (s *kvsSession) Answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = true
	for _, c := range s.early {
		s.add(c)
	}
	s.early = nil
}

func (s *kvsSession) Close() {
	s.stop()
	s.work.Wait()
	s.sent.close()
	s.received.close()
}

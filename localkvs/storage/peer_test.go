package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/gorilla/websocket"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/kvsagent/kvsagent/localkvs/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	region   = "us-west-2"
	patience = 20 * time.Second // for events; a longer wait proves nothing
)

// service is a localkvs with storage and one channel.
type service struct {
	*localkvs.Server
	t     *testing.T
	dir   string
	arn   string
	ended chan error // why each session ended
}

func start(t *testing.T, o storage.Options) *service {
	t.Helper()
	s := &service{t: t, dir: t.TempDir(), ended: make(chan error, 10)}
	o.Dir = s.dir
	store, err := storage.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Server, err = localkvs.New(localkvs.Options{
		Listen: "127.0.0.1:0", Limits: localkvs.Limits{StorageJoins: -1},
		Storage: func(ctx context.Context, ss *localkvs.StorageSession) error {
			err := store.Session(ctx, ss)
			s.ended <- err
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	var created struct{ ChannelARN string }
	if err := json.Unmarshal(s.post("/createSignalingChannel", `{"ChannelName":"cam"}`), &created); err != nil {
		t.Fatal(err)
	}
	s.arn = created.ChannelARN
	s.post("/updateMediaStorageConfiguration",
		`{"ChannelARN":"`+s.arn+`","MediaStorageConfiguration":{"Status":"ENABLED","StreamARN":"`+
			strings.Replace(s.arn, ":channel/", ":stream/", 1)+`"}}`)
	return s
}

var keys = aws.Credentials{AccessKeyID: localkvs.DefaultAccessKey, SecretAccessKey: localkvs.DefaultSecretKey}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// post makes one call, which must succeed.
func (s *service) post(path, body string) []byte {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := v4.NewSigner().SignHTTP(s.t.Context(), keys, r, sha(body), "kinesisvideo", region,
		time.Now()); err != nil {
		s.t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %s %v", path, resp.Status, out.Bytes(), err)
	}
	return out.Bytes()
}

func (s *service) join(client string) {
	s.t.Helper()
	if client == "" {
		s.post("/joinStorageSession", `{"channelArn":"`+s.arn+`"}`)
	} else {
		s.post("/joinStorageSessionAsViewer", `{"channelArn":"`+s.arn+`","clientId":"`+client+`"}`)
	}
}

// files returns the names of the stored files.
func (s *service) files() []string {
	s.t.Helper()
	return glob(s.t, s.dir)
}

// peer is a client of the service: a master with ID "", or a viewer. It answers every offer with a new connection.
type peer struct {
	t     *testing.T
	ws    *websocket.Conn
	setup func(*webrtc.PeerConnection) // adds what it sends, before it answers
	edit  func(sdp string) string      // of its answer, on the way

	wg  sync.WaitGroup
	mu  sync.Mutex // guards pcs and writes to ws
	pcs []*webrtc.PeerConnection

	frames chan string // the payloads received, by type
}

func (s *service) connect(id string, setup func(*webrtc.PeerConnection), edits ...func(sdp string) string) *peer {
	s.t.Helper()
	q := url.Values{"X-Amz-ChannelARN": {s.arn}, "X-Amz-Expires": {"299"}}
	if id != "" {
		q.Set("X-Amz-ClientId", id)
	}
	r, err := http.NewRequest(http.MethodGet, "ws"+strings.TrimPrefix(s.URL(), "http")+"/?"+q.Encode(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, _, err := v4.NewSigner().PresignHTTP(s.t.Context(), keys, r, sha(""), "kinesisvideo", region, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	ws, _, err := websocket.DefaultDialer.DialContext(s.t.Context(), signed, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &peer{t: s.t, ws: ws, setup: setup, edit: func(s string) string { return s }, frames: make(chan string, 1000)}
	for _, e := range edits {
		p.edit = e
	}
	p.wg.Go(p.listen)
	s.t.Cleanup(p.close)
	return p
}

func (p *peer) close() {
	p.ws.Close()
	p.wg.Wait()
	p.mu.Lock()
	pcs := p.pcs
	p.mu.Unlock()
	for _, pc := range pcs {
		if err := pc.GracefulClose(); err != nil {
			p.t.Errorf("close: %v", err)
		}
	}
}

// listen is the goroutine that reads until the socket is closed.
func (p *peer) listen() {
	var pc *webrtc.PeerConnection
	var early []webrtc.ICECandidateInit
	for {
		_, frame, err := p.ws.ReadMessage()
		if err != nil {
			return
		}
		var m struct{ SenderClientID, MessageType, MessagePayload string }
		if err := json.Unmarshal(frame, &m); err != nil || m.SenderClientID != "" {
			p.t.Errorf("frame %s: %v; want one without a sender", frame, err)
			return
		}
		text, err := base64.StdEncoding.DecodeString(m.MessagePayload)
		if err != nil {
			p.t.Errorf("payload of %s: %v", m.MessageType, err)
			return
		}
		p.frames <- m.MessageType + " " + string(text)
		if m.MessageType == "ICE_CANDIDATE" {
			var ic webrtc.ICECandidateInit
			if err := json.Unmarshal(text, &ic); err != nil {
				p.t.Errorf("candidate %s: %v", text, err)
			}
			if pc == nil {
				early = append(early, ic)
			} else if err := pc.AddICECandidate(ic); err != nil {
				p.t.Errorf("candidate %s: %v", text, err)
			}
			continue
		}
		if pc, err = p.answer(text); err != nil {
			p.t.Errorf("answer: %v", err)
			return
		}
		for _, ic := range early {
			if err := pc.AddICECandidate(ic); err != nil {
				p.t.Errorf("candidate: %v", err)
			}
		}
		early = nil
	}
}

func (p *peer) answer(text []byte) (*webrtc.PeerConnection, error) {
	var offer webrtc.SessionDescription
	if err := json.Unmarshal(text, &offer); err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(net.IP.IsLoopback)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.pcs = append(p.pcs, pc)
	p.mu.Unlock()
	pc.OnICECandidate(func(ic *webrtc.ICECandidate) {
		if ic != nil {
			p.send("ICE_CANDIDATE", ic.ToJSON())
		}
	})
	if err := pc.SetRemoteDescription(offer); err != nil {
		return nil, err
	}
	p.setup(pc)
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return nil, err
	}
	p.send("SDP_ANSWER", webrtc.SessionDescription{Type: answer.Type, SDP: p.edit(answer.SDP)})
	return pc, pc.SetLocalDescription(answer)
}

func (p *peer) send(action string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	frame := fmt.Sprintf(`{"action":%q,"messagePayload":%q}`, action, base64.StdEncoding.EncodeToString(text))
	_ = p.ws.WriteMessage(websocket.TextMessage, []byte(frame)) // a closed socket is detected elsewhere
}

// wait returns the next value, which must come.
func wait[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("unreachable")
	}
}

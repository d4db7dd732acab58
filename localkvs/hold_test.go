package localkvs_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/gorilla/websocket"

	"github.com/kvsagent/kvsagent/localkvs"
)

const (
	holdChannels = 1000
	holdViewers  = 10
	holdRounds   = 5
	holdEnv      = "LOCALKVS_HOLD"
)

// TestHoldServer is the other process of BenchmarkHold: a service that runs until its standard input ends.
func TestHoldServer(t *testing.T) {
	if os.Getenv(holdEnv) == "" {
		t.Skip("only for BenchmarkHold")
	}
	s, err := localkvs.New(localkvs.Options{Listen: "127.0.0.1:0", Limits: generous()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	fmt.Printf("url %s\n", s.URL())
	io.Copy(io.Discard, os.Stdin)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// BenchmarkHold connects 1,000 channels with ten viewers each. Every viewer and its master exchange an offer and an
// answer, several times. It reports the service's memory when empty, connected, and after each exchange. Run it with
//
//	go test -run '^$' -bench Hold -benchtime 1x ./localkvs
func BenchmarkHold(b *testing.B) {
	for b.Loop() {
		hold(b)
	}
}

func hold(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestHoldServer$")
	cmd.Env = append(os.Environ(), holdEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "url ") {
		b.Fatalf("service says %q, %v", line, err)
	}
	go io.Copy(io.Discard, lines)
	base := strings.TrimSpace(strings.TrimPrefix(line, "url "))
	b.ReportMetric(rss(b, cmd.Process.Pid), "MB-empty")

	began := time.Now()
	rooms := connectAll(b, base)
	defer func() {
		for _, r := range rooms {
			r.close()
		}
	}()
	b.ReportMetric(float64(holdChannels*(holdViewers+1))/time.Since(began).Seconds(), "connects/s")
	b.ReportMetric(rss(b, cmd.Process.Pid), "MB-connected")

	began = time.Now()
	for i := range holdRounds {
		var wg sync.WaitGroup
		for _, r := range rooms {
			wg.Go(func() {
				if err := r.round(); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		b.ReportMetric(rss(b, cmd.Process.Pid), "MB-round-"+strconv.Itoa(i+1))
	}
	b.ReportMetric(float64(2*holdRounds*holdChannels*holdViewers)/time.Since(began).Seconds(), "messages/s")
}

// room is one channel's clients.
type room struct {
	master  *websocket.Conn
	viewers map[string]*websocket.Conn
}

func (r room) close() {
	r.master.Close()
	for _, v := range r.viewers {
		v.Close()
	}
}

// round sends an offer of 4,000 characters from every viewer and the master's answer to it.
func (r room) round() error {
	payload := strings.Repeat("AAAA", 1000)
	for _, v := range r.viewers {
		if err := v.WriteMessage(websocket.TextMessage, []byte(message("SDP_OFFER", "", payload, "c"))); err != nil {
			return err
		}
	}
	for range r.viewers {
		var m received
		if err := r.master.ReadJSON(&m); err != nil {
			return err
		}
		if m.SenderClientID == nil {
			return errors.New("an offer without a sender")
		}
		if err := r.master.WriteMessage(websocket.TextMessage,
			[]byte(message("SDP_ANSWER", *m.SenderClientID, payload, "c"))); err != nil {
			return err
		}
	}
	for _, v := range r.viewers {
		var m received
		if err := v.ReadJSON(&m); err != nil || m.MessageType != "SDP_ANSWER" {
			return fmt.Errorf("got %s, %w", m.MessageType, err)
		}
	}
	return nil
}

func connectAll(b *testing.B, base string) []room {
	cred, err := keys().Retrieve(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	kv := kinesisvideo.New(kinesisvideo.Options{Region: region, BaseEndpoint: aws.String(base), Credentials: keys()})
	defer http.DefaultClient.CloseIdleConnections()
	d := websocket.Dialer{ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10}
	open := func(arn, id string) *websocket.Conn {
		q := url.Values{"X-Amz-ChannelARN": {arn}, "X-Amz-Expires": {"299"}}
		if id != "" {
			q.Set("X-Amz-ClientId", id)
		}
		r, _ := http.NewRequest("GET", "ws"+strings.TrimPrefix(base, "http")+"/?"+q.Encode(), nil)
		u, _, err := v4.NewSigner().PresignHTTP(b.Context(), cred, r, emptyHash, "kinesisvideo", region, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		c, _, err := d.DialContext(b.Context(), u, nil)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	rooms := make([]room, holdChannels)
	for i := range rooms {
		name := fmt.Sprintf("cam-%04d", i)
		made, err := kv.CreateSignalingChannel(b.Context(),
			&kinesisvideo.CreateSignalingChannelInput{ChannelName: &name})
		if err != nil {
			b.Fatal(err)
		}
		rooms[i] = room{open(*made.ChannelARN, ""), map[string]*websocket.Conn{}}
		for v := range holdViewers {
			id := fmt.Sprint("viewer-", v)
			rooms[i].viewers[id] = open(*made.ChannelARN, id)
		}
	}
	return rooms
}

// rss returns a process's resident memory in megabytes.
func rss(b *testing.B, pid int) float64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

package status_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

const offer = `{"sdp": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"}`

type watchFunc = func(ctx context.Context, channel, offer string, send func(status.Signal) error) error

// answering returns a Watch that answers at once and ends.
func answering(_ context.Context, _, _ string, send func(status.Signal) error) error {
	return send(status.Signal{Type: "answer", SDP: "v=0"})
}

// watchRequest returns the page's request to the server at base.
func watchRequest(ctx context.Context, t *testing.T, base, channel, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/channels/"+channel+"/watch",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// serve starts a server with watch on loopback.
func serve(t *testing.T, watch watchFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(status.Handler(status.Options{Report: house, Watch: watch}))
	t.Cleanup(s.Close)
	return s
}

// do sends r and gives the response, whose body is closed at the end of the test.
func do(t *testing.T, s *httptest.Server, r *http.Request) *http.Response {
	t.Helper()
	w, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Body.Close() })
	return w
}

func TestWatchSendsEachLineAtOnce(t *testing.T) {
	read := make(chan struct{}) // one element when the client has read a line
	mid, index := "0", uint16(0)
	sent := []status.Signal{
		{Type: "answer", SDP: "v=0\r\n"},
		{Type: "candidate", Candidate: "candidate:1 1 udp 1 127.0.0.1 4000 typ host", SDPMid: &mid,
			SDPMLineIndex: &index},
		{Type: "candidate", SDPMid: &mid},
	}
	s := serve(t, func(ctx context.Context, channel, offer string, send func(status.Signal) error) error {
		if channel != "front-gate" || !strings.HasPrefix(offer, "v=0\r\no=-") {
			return errors.New("wrong channel or offer: " + channel + " " + offer)
		}
		for _, m := range sent {
			if err := send(m); err != nil {
				return err
			}
			select { // the next line is not written before this one has arrived
			case <-read:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	w := do(t, s, watchRequest(t.Context(), t, s.URL, "front-gate", offer))
	if got := w.Header.Get("Content-Type"); w.StatusCode != http.StatusOK || got != "application/x-ndjson" {
		t.Errorf("watch = %d %q, want 200 application/x-ndjson", w.StatusCode, got)
	}
	lines := bufio.NewReader(w.Body)
	for _, want := range []string{
		`{"type":"answer","sdp":"v=0\r\n"}`,
		`{"type":"candidate","candidate":"candidate:1 1 udp 1 127.0.0.1 4000 typ host","sdpMid":"0","sdpMLineIndex":0}`,
		`{"type":"candidate","sdpMid":"0"}`,
	} {
		got, err := lines.ReadString('\n')
		if err != nil || strings.TrimSpace(got) != want {
			t.Fatalf("line %q, %v; want %q", got, err, want)
		}
		read <- struct{}{}
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("after the last line: %q, %v; want the end", rest, err)
	}
}

func TestWatchEndsWhenTheClientLeaves(t *testing.T) {
	ended := make(chan error, 1)
	s := serve(t, func(ctx context.Context, _, _ string, send func(status.Signal) error) error {
		err := send(status.Signal{Type: "answer", SDP: "v=0"})
		<-ctx.Done()
		ended <- err
		return ctx.Err()
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	w := do(t, s, watchRequest(ctx, t, s.URL, "front-gate", offer))
	if _, err := bufio.NewReader(w.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	leave()
	if err := <-ended; err != nil {
		t.Errorf("send: %v", err)
	}
}

func TestWatchErrors(t *testing.T) {
	fails := func(err error) watchFunc {
		return func(context.Context, string, string, func(status.Signal) error) error { return err }
	}
	for _, tt := range []struct {
		name, channel, body string
		watch               watchFunc
		code                int
		want                string // the whole body, compacted
	}{
		{"no watch", "front-gate", offer, nil, 501, `{"error":"this agent shows no picture"}`},
		{"no such channel", "gate", offer, answering, 404,
			`{"error":"there is no such channel","hint":"/api/v1/report lists them"}`},
		{"not JSON", "front-gate", "v=0", answering, 400,
			`{"error":"the body is not an offer","hint":"send {\"sdp\": \"v=0...\"}"}`},
		{"not SDP", "front-gate", `{"sdp":"hello"}`, answering, 400,
			`{"error":"the body is not an offer","hint":"send {\"sdp\": \"v=0...\"}"}`},
		{"empty", "front-gate", "", answering, 400,
			`{"error":"the body is not an offer","hint":"send {\"sdp\": \"v=0...\"}"}`},
		{"two values", "front-gate", offer + offer, answering, 400,
			`{"error":"the body is not an offer","hint":"send {\"sdp\": \"v=0...\"}"}`},
		{"too large", "front-gate", `{"sdp":"v=0` + strings.Repeat("a", 64<<10) + `"}`, answering, 413,
			`{"error":"the offer is larger than 64 KiB"}`},
		{"plain error", "front-gate", offer, fails(errors.New("no credentials")), 502, `{"error":"no credentials"}`},
		{
			"problem", "front-gate", offer,
			fails(&status.Problem{Status: 504, Text: "the master did not answer", Hint: "is it there?"}),
			504, `{"error":"the master did not answer","hint":"is it there?"}`,
		},
		{"problem with an odd status", "front-gate", offer, fails(&status.Problem{Status: 200, Text: "no"}), 502,
			`{"error":"no"}`},
		{"good end without a line", "front-gate", offer, fails(nil), 200, ``},
		{
			"error after a line", "front-gate", offer, func(_ context.Context, _, _ string,
				send func(status.Signal) error) error {
				return errors.Join(send(status.Signal{Type: "answer", SDP: "v=0"}),
					&status.Problem{Text: "signaling lost", Hint: "h"})
			},
			200, `{"type":"answer","sdp":"v=0"}{"type":"error","error":"signaling lost","hint":"h"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.watch)
			w := do(t, s, watchRequest(t.Context(), t, s.URL, tt.channel, tt.body))
			raw, err := io.ReadAll(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := compact(t, raw); w.StatusCode != tt.code || got != tt.want {
				t.Errorf("watch = %d %s\nwant    %d %s", w.StatusCode, got, tt.code, tt.want)
			}
		})
	}
}

// compact removes the white space from a row of JSON values.
func compact(t *testing.T, raw []byte) string {
	t.Helper()
	var out bytes.Buffer
	for d := json.NewDecoder(bytes.NewReader(raw)); d.More(); {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		if err := json.Compact(&out, v); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// A goroutine of the agent may be late; it must not write into a finished answer.
func TestWatchRefusesLinesAfterItsEnd(t *testing.T) {
	var late func(status.Signal) error
	h := status.Handler(status.Options{Report: house,
		Watch: func(_ context.Context, _, _ string, send func(status.Signal) error) error {
			late = send
			return send(status.Signal{Type: "answer", SDP: "v=0"})
		}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, watchRequest(t.Context(), t, "http://127.0.0.1", "front-gate", offer))
	before := w.Body.String()
	if err := late(status.Signal{Type: "candidate"}); err == nil {
		t.Error("send after the end = nil, want an error")
	}
	if got := w.Body.String(); got != before {
		t.Errorf("the late line was written: %q after %q", got, before)
	}
}

func TestWatchIsBounded(t *testing.T) {
	s := serve(t, func(ctx context.Context, _, _ string, send func(status.Signal) error) error {
		err := send(status.Signal{Type: "answer", SDP: "v=0"})
		<-ctx.Done()
		return err
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for i := range 16 {
		if w := do(t, s, watchRequest(ctx, t, s.URL, "front-gate", offer)); w.StatusCode != http.StatusOK {
			t.Fatalf("watch %d = %d, want 200", i, w.StatusCode)
		}
	}
	if w := do(t, s, watchRequest(ctx, t, s.URL, "front-gate", offer)); w.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one watch too many = %d, want 503", w.StatusCode)
	}
}

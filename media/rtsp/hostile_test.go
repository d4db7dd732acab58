package rtsp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"github.com/kvsagent/kvsagent/media/rtsp"
)

// script is a camera that answers each request as told, and records them.
type script struct {
	address  string
	mu       sync.Mutex // guards requests
	requests []string
}

// serve sends the results of answer unchanged, until it returns "", which closes the connection.
func serve(t *testing.T, answer func(address string, req *base.Request) string) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{address: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.talk(conn, answer) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return s
}

func (s *script) talk(conn net.Conn, answer func(string, *base.Request) string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		var req base.Request
		if req.Unmarshal(r) != nil {
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, fmt.Sprint(req.Method, " ", req.URL, " ", req.Header["Authorization"]))
		s.mu.Unlock()
		text := answer(s.address, &req)
		if text == "" {
			return
		}
		cseq := ""
		if v := req.Header["CSeq"]; len(v) == 1 {
			cseq = v[0]
		}
		if _, err := conn.Write([]byte(strings.ReplaceAll(text, "CSEQ", cseq))); err != nil {
			return
		}
	}
}

func (s *script) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.requests, "\n")
}

const ok = "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\n\r\n"

// describe returns an answer to DESCRIBE with this SDP.
func describe(sdp string, headers ...string) string {
	return fmt.Sprintf("RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nContent-Type: application/sdp\r\n%sContent-Length: "+
		"%d\r\n\r\n%s",
		strings.Join(headers, ""), len(sdp), sdp)
}

const sdpHead = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
const sdpVideo = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"

func setup(extra string) string {
	return "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n" +
		extra
}

func TestHostile(t *testing.T) {
	elsewhere := serve(t, func(string, *base.Request) string { return ok })
	for _, tt := range []struct {
		name   string
		answer func(address string, req *base.Request) string
		slow   bool
		want   string
	}{
		{"redirect to another host", func(_ string, req *base.Request) string {
			return "RTSP/1.0 302 Found\r\nCSeq: CSEQ\r\nLocation: rtsp://" + elsewhere.address + "/main\r\n\r\n"
		}, true, "redirects to another host, rtsp://" + elsewhere.address},
		{"redirect to the same place for ever", func(address string, req *base.Request) string {
			return "RTSP/1.0 301 Moved\r\nCSeq: CSEQ\r\nLocation: rtsp://" + address + "/main\r\n\r\n"
		}, true, "more than 3 redirects"},
		{"redirect to nonsense", func(string, *base.Request) string {
			return "RTSP/1.0 302 Found\r\nCSeq: CSEQ\r\nLocation: ::\r\n\r\n"
		}, true, "redirects to something that is not a URL"},
		{"control attribute that makes no URL", byMethod(describe(sdpHead + sdpVideo + "a=control:%zz\r\n")), true,
			`control attribute "%zz"`},
		{"nine tracks", byMethod(describe(sdpHead + strings.Repeat(sdpVideo, 9))), true,
			"offers 9 tracks; hint: at most 8"},
		{"no SDP", byMethod(describe("hello")), false, "describe: "},
		{"no tracks", byMethod(describe(sdpHead)), false, "describe: "},
		{"nothing but a data track",
			byMethod(describe(sdpHead + "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n")),
			true,
			"no video that can be sent: the camera offers vnd.onvif.metadata;"},
		{"packetization mode 2", byMethod(describe(sdpHead + strings.Replace(sdpVideo, "mode=1", "mode=2", 1))), true,
			"interleaved packets (packetization-mode=2); hint: set the camera's packetization mode to 1"},
		{"line feed in a status", func(string, *base.Request) string {
			return "RTSP/1.0 451 bad\x1b[31m\x00thing\r\nCSeq: CSEQ\r\n\r\n"
		}, true, "451 (bad?[31m?thing)"},
		{"busy",
			func(string, *base.Request) string { return "RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: CSEQ\r\n\r\n" },
			false, "no room for another client"},
		{"hangs up", func(string, *base.Request) string { return "" }, false, "the camera closed the connection"},
		{"HTTP", func(string, *base.Request) string { return "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" },
			true,
			`connect: no RTSP answer, but "HTTP/1.1 400`},
		{"unknown login", func(string, *base.Request) string {
			return "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: Kerberos realm=\"x\"\r\n\r\n"
		}, true, "no authentication methods available"},
		{"plays nothing", byMethod(describe(sdpHead + sdpVideo)), false, "no video packet for 800ms"},
		{"frames of noise", byMethod(describe(sdpHead+sdpVideo),
			strings.Repeat("$\x00\x00\x10\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x7c\x85ab", 50)), false,
			"no video packet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam := serve(t, tt.answer)
			o := rtsp.Options{URL: "rtsp://" + cam.address + "/main", Username: "admin", Password: "open sesame"}
			if strings.Contains(tt.want, "no video packet") || strings.Contains(tt.want, "HTTP") {
				o.Timeout = 400 * time.Millisecond // the others do not wait for it
			}
			src, log := source(t, o)
			_, err := play(t, src, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) ||
				!strings.HasPrefix(err.Error(), "rtsp://"+cam.address) {
				t.Errorf("Run = %v, want %q", err, tt.want)
			}
			var s interface{ Slow() bool }
			if errors.As(err, &s) && s.Slow() != tt.slow {
				t.Errorf("Run = %v: slow = %t", err, s.Slow())
			}
			if all := fmt.Sprint(err, log); strings.Contains(all, "sesame") ||
				strings.ContainsAny(err.Error(), "\r\n\x00\x1b") {
				t.Errorf("error and log = %q", all)
			}
		})
	}
	if got := elsewhere.asked(); got != "" {
		t.Errorf("the other host was asked: %s", got)
	}
}

// byMethod answers DESCRIBE with this, and everything else correctly. The answer to PLAY is followed by then.
func byMethod(describe string, then ...string) func(string, *base.Request) string {
	return func(_ string, req *base.Request) string {
		switch req.Method {
		case base.Describe:
			return describe
		case base.Setup:
			return setup("")
		case base.Play:
			return ok + strings.Join(then, "")
		}
		return ok
	}
}

// TestOwnHost: whatever the camera names as base or control URL, requests go to the host that was configured and name
// it, and a redirect to another path of the same host is followed.
func TestOwnHost(t *testing.T) {
	cam := serve(t, func(address string, req *base.Request) string {
		switch {
		case req.Method == base.Describe && req.URL.Path == "/main":
			return "RTSP/1.0 302 Found\r\nCSeq: CSEQ\r\nLocation: rtsp://" + address + "/other\r\n\r\n"
		case req.Method != base.Options && req.Header["Authorization"] == nil:
			return "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n"
		case req.Method == base.Describe:
			return describe(sdpHead+sdpVideo+"a=control:rtsp://evil.example/track1\r\n",
				"Content-Base: rtsp://evil.example/base/\r\n")
		}
		return byMethod("")(address, req)
	})
	src, _ := source(t, rtsp.Options{URL: "rtsp://" + cam.address + "/main", Username: "admin", Password: "sesame",
		Timeout: 400 * time.Millisecond})
	_, err := play(t, src, nil)
	if err == nil || !strings.Contains(err.Error(), "no video packet") {
		t.Errorf("Run = %v, want to get as far as playing", err)
	}
	if got := cam.asked(); strings.Contains(got, "evil.example") ||
		!strings.Contains(got, "PLAY rtsp://"+cam.address) ||
		!strings.Contains(got, "SETUP rtsp://"+cam.address+"/track1") {
		t.Errorf("requests:\n%s", got)
	}
}

// TestUnreachable: network errors, in words that help.
func TestUnreachable(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"refused", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
			"connect: connection refused; hint: is RTSP switched on"},
		{"no route", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
			"connect: no route to the host; hint: is the camera on"},
		{"no network", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)},
			"connect: no route to the host; hint: is the camera on"},
		{"timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
			"connect: no answer in time (10s); hint: is the camera on"},
		{"no such name", &net.DNSError{Err: "no such host", Name: "gate.local", IsNotFound: true},
			`connect: host name "gate.local": no such host; hint: check the name`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src, _ := source(t, rtsp.Options{URL: "rtsp://admin:sesame@127.0.0.1:554/main",
				DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, tt.err }})
			_, err := play(t, src, nil)
			if want := "rtsp://127.0.0.1:554/main: " + tt.want; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Run = %v, want %s...", err, want)
			}
			var s interface{ Slow() bool }
			if !errors.As(err, &s) || s.Slow() {
				t.Errorf("Run = %v: slow", err)
			}
		})
	}
}

// TestSilentServer: something accepts the connection and sends nothing.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	src, _ := source(t, rtsp.Options{URL: "rtsp://" + l.Addr().String() + "/main", Timeout: 200 * time.Millisecond})
	_, err = play(t, src, nil)
	check(t, err, false, "no answer in time", "does this port speak RTSP?")
}

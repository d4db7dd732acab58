package rtsp_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// oddCamera plays as far as PLAY, with one oddity, and then sends a key frame.
type oddCamera struct {
	sdp    string                              // "" is a plain one
	before func(*base.Request) (answer string) // "" leaves it to the plain camera
	sent   string                              // in the answer to PLAY, before the pictures
}

// keyFrames is two pictures, each of parameter sets and an IDR slice, in interleaved packets.
var keyFrames = func() string {
	units := []string{
		"\x67\x42\xc0\x1f\xd9\x00\xa0\x5b\x96\xa0\x20\x20" + "\x28\x00\x00\x03\x00\x08\x00\x00\x03\x01\x94\x20",
		"\x68\xce\x3c\x80", "\x65\x88\x84\x00\x33\xff"}
	var out strings.Builder
	for n := range 6 {
		nal, marker := units[n%3], byte(0x60)
		if n%3 == 2 {
			marker |= 0x80
		}
		packet := string([]byte{0x80, marker, 0, byte(n), 0, byte(n / 3 * 0x10), 0, 1, 0, 0, 0, 7}) + nal
		out.WriteString(string([]byte{'$', 0, 0, byte(len(packet))}) + packet)
	}
	return out.String()
}()

func (c *oddCamera) answer(_ string, req *base.Request) string {
	if c.before != nil {
		if text := c.before(req); text != "" {
			return text
		}
	}
	switch req.Method {
	case base.Describe:
		sdp := c.sdp
		if sdp == "" {
			sdp = sdpHead + sdpVideo + "a=control:track1\r\n"
		}
		return describe(sdp)
	case base.Setup:
		channel := regexp.MustCompile(`interleaved=\d+-\d+`).FindString(strings.Join(req.Header["Transport"], ""))
		return "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast;" + channel + "\r\n\r\n"
	case base.Play:
		return ok + c.sent + keyFrames
	}
	return ok
}

// firstKey is a sink that waits for a key frame.
type firstKey struct{ seen chan struct{} }

func (s *firstKey) Tracks([]media.Track) {}

func (s *firstKey) Write(f *media.Frame) {
	if f.Key {
		select {
		case s.seen <- struct{}{}:
		default:
		}
	}
}

// plays runs a source of the camera until its first picture.
func (c *oddCamera) plays(t *testing.T, o rtsp.Options) *script {
	t.Helper()
	camera := serve(t, c.answer)
	o.URL = strings.Replace(o.URL, "HOST", camera.address, 1)
	if o.URL == "" {
		o.URL = "rtsp://" + camera.address + "/odd"
	}
	src, err := rtsp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	got, ended := &firstKey{make(chan struct{}, 1)}, make(chan error, 1)
	go func() { ended <- src.Run(ctx, got) }()
	select {
	case <-got.seen:
	case err := <-ended:
		t.Errorf("no picture: %v; asked was\n%s", err, camera.asked())
		ended <- err
	case <-time.After(20 * time.Second):
		t.Errorf("no picture; asked was\n%s", camera.asked())
	}
	stop()
	<-ended
	return camera
}

// TestOddDescriptions: what is wrong with one track never costs the picture.
func TestOddDescriptions(t *testing.T) {
	const video = sdpVideo + "a=control:track1\r\n"
	const opus = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 "
	const aac = "m=audio 0 RTP/AVP 104\r\na=rtpmap:104 MPEG4-GENERIC/16000\r\n"
	for name, sdp := range map[string]string{
		"opus without channels":   sdpHead + video + opus + "opus/48000\r\na=control:t2\r\n",
		"opus of one channel":     sdpHead + video + opus + "OPUS/48000/1\r\na=control:t2\r\n",
		"parameters of another":   sdpHead + video + aac + "a=fmtp:97 mode=AAC-hbr;config=1408\r\n",
		"AAC without a config":    sdpHead + video + aac,
		"sound first, and broken": sdpHead + aac + "a=fmtp:104 config=zz\r\n" + video,
		"sprop that is not base64": sdpHead + "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" +
			"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LA$FtoC,aM48g;x=1\r\na=control:track1\r\n",
		"a back channel of twenty": sdpHead + video + "m=audio 0 RTP/AVP" + numbers(96, 116) + "\r\na=sendonly\r\n" +
			"a=rtpmap:97 opus/0\r\na=rtpmap:98 MPEG4-GENERIC/8000\r\n",
		"lines that are none":  sdpHead + "garbage\r\n=\r\n" + video + "x\r\n",
		"no time, odd session": "v=0\r\ns=\r\nb=?\r\n" + video,
		"a path as control":    sdpHead + sdpVideo + "a=control:/media/1/video/1\r\n",
		"metadata": sdpHead + video +
			"m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/x\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			camera := (&oddCamera{sdp: sdp}).plays(t, rtsp.Options{})
			want := "SETUP rtsp://" + camera.address + "/media/1/video/1 "
			if strings.Contains(name, "path") && !strings.Contains(camera.asked(), want) {
				t.Errorf("asked was\n%s", camera.asked())
			}
		})
	}
}

func numbers(from, to int) string {
	var b strings.Builder
	for n := from; n < to; n++ {
		fmt.Fprint(&b, " ", n)
	}
	return b.String()
}

// TestOddAnswers: harmless oddities of the protocol.
func TestOddAnswers(t *testing.T) {
	only := func(method base.Method, text string) func(*base.Request) string {
		return func(req *base.Request) string {
			if req.Method == method {
				return text
			}
			return ""
		}
	}
	refused := "RTSP/1.0 551 Option Not Supported\r\nCSeq: CSEQ\r\n\r\n"
	plain := sdpHead + sdpVideo + "a=control:track1\r\n"
	request := func(method, body string) string {
		return fmt.Sprintf("%s rtsp://x/odd RTSP/1.0\r\nCSeq: 1\r\nSession: 1\r\nContent-Length: %d\r\n\r\n%s", method,
			len(body), body)
	}
	for name, c := range map[string]*oddCamera{
		"OPTIONS is refused": {before: only(base.Options, refused)},
		"a base without a scheme": {before: only(base.Describe,
			describe(plain, "Content-Base: 127.0.0.1:554/\r\n"))},
		"two bases": {before: only(base.Describe,
			describe(plain, "Content-Base: rtsp://a/\r\nContent-Base: rtsp://b/\r\n"))},
		"no transport in the answer": {before: only(base.Setup, "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nSession: 1\r\n\r\n")},
		"no channels in the answer": {before: only(base.Setup,
			"RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast\r\n\r\n")},
		"ANNOUNCE":      {sent: request("ANNOUNCE", plain)},
		"SET_PARAMETER": {sent: request("SET_PARAMETER", "x: 1\r\n")},
		"GET_PARAMETER": {sent: request("GET_PARAMETER", "")},
		"OPTIONS":       {sent: request("OPTIONS", "")},
	} {
		t.Run(name, func(t *testing.T) { c.plays(t, rtsp.Options{}) })
	}
}

// TestLogins: every digest that cameras ask for, at any request, with nonces that grow old. The camera here computes
// for itself what RFC 7616 wants.
func TestLogins(t *testing.T) {
	for _, tt := range []struct {
		name      string
		challenge string // with NONCE
		sha       bool
		at        base.Method // the first request that is challenged
		stale     bool        // each nonce is good for two requests
	}{
		{name: "MD5 without qop", challenge: `Digest realm="x", nonce="NONCE"`},
		{name: "MD5, qop",
			challenge: `Digest realm="Login to 3f2a", qop="auth", nonce="NONCE", opaque="", algorithm="MD5"`},
		{name: "SHA-256, qop",
			challenge: `Digest realm="x", qop="auth-int,auth", nonce="NONCE", algorithm="SHA-256"`, sha: true},
		{name: "SHA-256 without qop", challenge: `Digest realm="x", nonce="NONCE", algorithm=SHA-256`, sha: true},
		{name: "both in one line", challenge: `Digest realm="x", qop="auth", nonce="NONCE", algorithm=MD5, ` +
			`Digest realm="x", qop="auth", nonce="NONCE", algorithm=SHA-256, Basic realm="x"`, sha: true},
		{name: "a realm with quotes", challenge: `Digest realm="a \"b\", c=d", qop=auth, nonce="NONCE"`},
		{name: "at SETUP", challenge: `Digest realm="x", qop="auth", nonce="NONCE"`, at: base.Setup},
		{name: "at PLAY", challenge: `Digest realm="x", qop="auth", nonce="NONCE"`, at: base.Play},
		{name: "stale", challenge: `Digest realm="x", qop="auth", stale=true, nonce="NONCE"`, stale: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &lock{password: `se"s\a:me@#`, challenge: tt.challenge, sha: tt.sha, at: tt.at, stale: tt.stale}
			(&oddCamera{before: c.check}).plays(t, rtsp.Options{URL: "rtsp://HOST/odd", Username: "admin",
				Password: c.password})
			if c.wrong > 0 {
				t.Errorf("%d wrong logins", c.wrong)
			}
		})
	}
}

// lock is a camera's login.
type lock struct {
	password, challenge string
	sha, stale          bool
	at                  base.Method

	mu          sync.Mutex
	nonce, used int
	begun       bool
	wrong       int
	counts      map[string]bool
}

func (l *lock) check(req *base.Request) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = l.begun || l.at == "" && req.Method == base.Describe || req.Method == l.at
	if !l.begun {
		return ""
	}
	header := strings.Join(req.Header["Authorization"], "")
	if header != "" && l.good(req, header) {
		if l.used++; !l.stale || l.used <= 2 {
			return ""
		}
	}
	l.nonce, l.used, l.counts = l.nonce+1, 0, map[string]bool{}
	return "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: " +
		strings.ReplaceAll(l.challenge, "NONCE", fmt.Sprint("n", l.nonce)) + "\r\n\r\n"
}

func (l *lock) good(req *base.Request, header string) bool {
	get := func(name string) string {
		m := regexp.MustCompile(`\b` + name + `=(?:"((?:[^"\\]|\\.)*)"|([^,]*))`).FindStringSubmatch(header)
		if m == nil {
			return ""
		}
		return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(m[1] + m[2])
	}
	sum := func(parts ...string) string {
		text := []byte(strings.Join(parts, ":"))
		if l.sha {
			h := sha256.Sum256(text)
			return hex.EncodeToString(h[:])
		}
		h := md5.Sum(text)
		return hex.EncodeToString(h[:])
	}
	ha1, ha2 := sum(get("username"), get("realm"), l.password), sum(string(req.Method), get("uri"))
	want := sum(ha1, get("nonce"), ha2)
	if strings.Contains(l.challenge, "qop") {
		want = sum(ha1, get("nonce"), get("nc"), get("cnonce"), get("qop"), ha2)
	}
	fine := get("response") == want && get("nonce") == fmt.Sprint("n", l.nonce) && !l.counts[get("nc")] || l.stale &&
		get("nonce") != fmt.Sprint("n", l.nonce)
	if get("nc") != "" {
		l.counts[get("nc")] = true
	}
	if !fine {
		l.wrong++
	}
	return fine && get("nonce") == fmt.Sprint("n", l.nonce)
}

// TestWrongPasswordIsTriedOnce: a wrong password costs one try, whatever nonces the camera makes up.
func TestWrongPasswordIsTriedOnce(t *testing.T) {
	l := &lock{password: "right", challenge: `Digest realm="x", qop="auth", nonce="NONCE"`}
	camera := serve(t, (&oddCamera{before: l.check}).answer)
	src, err := rtsp.New(rtsp.Options{URL: "rtsp://admin:wrong@" + camera.address + "/odd"})
	if err != nil {
		t.Fatal(err)
	}
	err = src.Run(t.Context(), &firstKey{make(chan struct{}, 1)})
	if err == nil || !strings.Contains(err.Error(), "password refused") {
		t.Errorf("Run = %v", err)
	}
	if l.wrong != 1 {
		t.Errorf("%d wrong logins, want one", l.wrong)
	}
}

// TestSuspicions: a stream that gives no picture for another reason than seldom key frames is told that reason.
func TestSuspicions(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(nal string) (payloadType byte, payload string)
		want   string
	}{
		"another payload type": {func(nal string) (byte, string) { return 97, nal }, "payload type 97"},
		"H.265 called H.264": {func(nal string) (byte, string) { return 96, "\x62\x01\x93" + nal[1:] },
			"its packets are H.265"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var packets strings.Builder
			for n := range 20 {
				pt, payload := tt.change("\x65\x88\x84\x00\x33\xff")
				packet := string([]byte{0x80, 0x80 | pt, 0, byte(n), 0, byte(n), 0, 1, 0, 0, 0, 7}) + payload
				packets.WriteString(string([]byte{'$', 0, 0, byte(len(packet))}) + packet)
			}
			camera := serve(t, (&oddCamera{before: func(req *base.Request) string {
				if req.Method == base.Play {
					return ok + packets.String()
				}
				return ""
			}}).answer)
			src, err := rtsp.New(rtsp.Options{URL: "rtsp://" + camera.address + "/odd", Timeout: 20 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			err = src.Run(t.Context(), &firstKey{make(chan struct{}, 1)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestTCPIsRefused: a camera that takes no TCP is asked over UDP, once, and what it says to that is told.
func TestTCPIsRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"461": "RTSP/1.0 461 Unsupported Transport\r\nCSeq: CSEQ\r\n\r\n",
		"406": "RTSP/1.0 406 Not Acceptable\r\nCSeq: CSEQ\r\n\r\n",
		"UDP anyway": "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nSession: 1\r\nTransport: RTP/AVP;unicast;client_port=1-2" +
			"\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var ways []string
			camera := serve(t, (&oddCamera{before: func(req *base.Request) string {
				if req.Method != base.Setup {
					return ""
				}
				mu.Lock()
				defer mu.Unlock()
				asked := strings.Join(req.Header["Transport"], "")
				if strings.Contains(asked, "interleaved") {
					ways = append(ways, "tcp")
					return answer
				}
				ways = append(ways, "udp")
				return "RTSP/1.0 461 Unsupported Transport\r\nCSeq: CSEQ\r\n\r\n"
			}}).answer)
			src, err := rtsp.New(rtsp.Options{URL: "rtsp://" + camera.address + "/odd"})
			if err != nil {
				t.Fatal(err)
			}
			err = src.Run(t.Context(), &firstKey{make(chan struct{}, 1)})
			if err == nil || !strings.Contains(err.Error(), "TCP and UDP alike") {
				t.Errorf("Run = %v", err)
			}
			if got := strings.Join(ways, " "); got != "tcp udp" {
				t.Errorf("asked was for %s, want tcp udp", got)
			}
		})
	}
}

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// Viewers stay; the status says so after three seconds; nobody restarts anything.
func standsStill(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 10, 10*time.Second)
	cam.Set(func(s *rig.Switches) { s.Silent = true })
	began := time.Now()
	a.State(t, 5*time.Second, media.Stalled)
	if d := time.Since(began); d < 2900*time.Millisecond {
		t.Errorf("stalled after %v already", d)
	}
	cam.Set(func(s *rig.Switches) { s.Silent = false })
	a.Sees(t, 25, 4*time.Second)
	a.Steady(t)
	if r := a.Hub.Report(); r.State != media.Running || r.Restarts != 0 || cam.Sessions() != 1 {
		t.Errorf("%s, %d restarts, %d sessions", r.State, r.Restarts, cam.Sessions())
	}
}

// After ten seconds the source is started again, and then less and less often.
func standsStillForLong(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 10, 10*time.Second)
	cam.Set(func(s *rig.Switches) { s.Silent = true })
	began := time.Now()
	a.Fails(t, 13*time.Second, "no frame for", "no video packet for")
	if d := time.Since(began); d < 9*time.Second {
		t.Errorf("given up after %v already", d)
	}
	rig.Eventually(t, 5*time.Second, "another session",
		func() (bool, any) { return cam.Sessions() >= 2, cam.Sessions() })
	cam.Set(func(s *rig.Switches) { s.Silent = false })
	a.Sees(t, 25, 4*time.Second)
	a.Steady(t)
}

// Who stayed sees the picture within three seconds of the camera's answer, on one time line.
func restarts(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 10, 10*time.Second)
	cam.Off()
	a.Fails(t, 5*time.Second, "connection refused")
	time.Sleep(8 * time.Second) // the time is the subject: a plain backoff would wait longer by now
	cam.On()
	a.Sees(t, 1, 3*time.Second)
	a.Sees(t, 25, 4*time.Second)
	a.Steady(t)
}

// A connection that nothing comes through is given up after ten seconds.
func halfOpen(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 10, 10*time.Second)
	cam.Set(func(s *rig.Switches) { s.Hole = true })
	began := time.Now()
	a.Fails(t, 14*time.Second, "no frame for", "no video packet for")
	a.Sees(t, 10, 5*time.Second)
	if d := time.Since(began); d < 9*time.Second || d > 18*time.Second {
		t.Errorf("the picture is back after %v", d)
	}
	a.Steady(t)
}

// One try, and the next one after half a minute: cameras lock accounts.
func wrongPassword(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, func(c *rig.FakeCamera) { c.User, c.Password = "admin", "open sesame" })
	a := cam.Watch(t, func(o *rtsp.Options) { o.Username, o.Password = "admin", "wrong" })
	a.Fails(t, 10*time.Second, `user or password refused (401) for user "admin"; hint: check username and password`)
	time.Sleep(5 * time.Second) // in which nothing may come
	cam.Mu.Lock()
	defer cam.Mu.Unlock()
	if cam.Logins != 1 {
		t.Errorf("the password was tried %d times in five seconds", cam.Logins)
	}
}

// endlessLogin: one retry for each challenge, not one after the other.
func endlessLogin(t *testing.T, _ rig.Clip) {
	var logins atomic.Int32
	url := answers(t, func(req *base.Request) string {
		if req.Header["Authorization"] != nil {
			logins.Add(1)
		}
		if req.Method == base.Options {
			return rtspOK
		}
		return challenge(logins.Load())
	})
	err := playOnce(t, url)
	if n := logins.Load(); n != 1 || err == nil || !strings.Contains(err.Error(), "user or password refused") ||
		!isSlow(err) {
		t.Errorf("%d logins, %v", n, err)
	}
}

// staleChallenge: a login that was good and is asked for again costs a new session, and no half minute.
func staleChallenge(t *testing.T, _ rig.Clip) {
	url := answers(t, func(req *base.Request) string {
		switch {
		case req.Method == base.Options:
			return rtspOK
		case req.Header["Authorization"] == nil, req.Method == base.Setup:
			return challenge(int32(len(req.Method)))
		}
		const sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 " +
			"H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
		return fmt.Sprintf("RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nContent-Type: application/sdp\r\nContent-Length: "+
			"%d\r\n\r\n%s", len(sdp), sdp)
	})
	if err := playOnce(t, url); err == nil || !strings.Contains(err.Error(), "has become stale") || isSlow(err) {
		t.Errorf("%v, to be tried seldom: %t", err, isSlow(err))
	}
}

const rtspOK = "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\n\r\n"

func challenge(n int32) string {
	return fmt.Sprintf("RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: Digest realm=\"x\", "+
		"nonce=\"%08x\"\r\n\r\n", n)
}

// answers is a camera that says to each request what answer does, and gives its URL.
func answers(t *testing.T, answer func(*base.Request) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					var req base.Request
					if req.Unmarshal(r) != nil {
						return
					}
					text := strings.ReplaceAll(answer(&req), "CSEQ", req.Header["CSeq"][0])
					if _, err := conn.Write([]byte(text)); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "rtsp://admin:sesame@" + l.Addr().String() + "/main"
}

// playOnce is one run of a source that fails.
func playOnce(t *testing.T, url string) error {
	t.Helper()
	src, err := rtsp.New(rtsp.Options{URL: url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return src.Run(ctx, &rig.Audience{})
}

func isSlow(err error) bool {
	var s interface{ Slow() bool }
	return errors.As(err, &s) && s.Slow()
}

package signaling_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/kvsagent/kvsagent/signaling"
)

var seed = flag.Uint64("seed", 0, "of the random faults; 0 is a new one, which a failure prints")

func random(t *testing.T) *rand.Rand {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: go test -run '%s' ./signaling -seed %d", t.Name(), n)
		}
	})
	return rand.New(rand.NewPCG(n, n))
}

// A day with a message every ten seconds in both directions. The session is replaced before its hour and at every
// GO_AWAY. No message is lost or duplicated. Whether the service ends the old session at once, later or never is not
// documented; all three are tested.
func TestDayOfReplacements(t *testing.T) {
	for _, old := range []string{"is kept", "ends at once", "ends after a while"} {
		t.Run("old session "+old, func(t *testing.T) {
			rnd := random(t)
			wall := time.Now()
			synctest.Test(t, func(t *testing.T) { dayOfReplacements(t, rnd, old) })
			t.Logf("a day in %v", time.Since(wall).Round(time.Millisecond))
		})
	}
}

func dayOfReplacements(t *testing.T, rnd *rand.Rand, old string) {
	f := newFake(t)
	opts := f.start()
	opts.Rand = rand.New(rand.NewPCG(rnd.Uint64(), 0)).Float64
	r := run(t, opts)
	var (
		mu     sync.Mutex
		fromUs []int // numbers that the service received
		wg     sync.WaitGroup
		newest *socket
	)
	adopt := func(s *socket) { // the newest wins
		wg.Go(func() {
			for frame := range s.frames {
				mu.Lock()
				fromUs = append(fromUs, number(t, frame))
				mu.Unlock()
			}
		})
		was := newest
		newest = s
		if was == nil || old == "is kept" {
			return
		}
		pause := time.Duration(0)
		if old == "ends after a while" {
			pause = time.Duration(rnd.IntN(50)) * time.Second
		}
		wg.Go(func() {
			time.Sleep(pause)
			_ = was.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, "Going away"),
				time.Now().Add(time.Second))
			was.Close()
		})
	}
	adopt(f.socket())
	var toUs []int
	const messages = 24 * 360
	for i := range messages {
		time.Sleep(10 * time.Second)
		for len(f.sockets) > 0 {
			adopt(<-f.sockets)
		}
		if rnd.IntN(100) == 0 {
			newest.say(t, `{"messageType":"GO_AWAY"}`)
		}
		newest.say(t, message("ICE_CANDIDATE", "v", fmt.Sprintf(`{"n":"%d"}`, i)))
		if err := r.Send(signaling.Message{Type: signaling.ICECandidate, ClientID: "v",
			Payload: fmt.Appendf(nil, `{"n":"%d"}`, i)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for len(r.events) > 0 {
			switch e := (<-r.events).(type) {
			case signaling.Received:
				toUs = append(toUs, payloadNumber(t, e.Payload))
			case signaling.Disconnected:
				t.Fatalf("disconnected: %v", e.Err)
			}
		}
	}
	_ = r.stop()
	wg.Wait()
	for name, got := range map[string][]int{"to us": toUs, "from us": fromUs} {
		if len(got) != messages {
			t.Errorf("%s: %d messages, want %d", name, len(got), messages)
		}
		for i, n := range got {
			if n != i {
				t.Fatalf("%s: message %d came in place %d", name, n, i)
			}
		}
	}
	if n := r.Report().Connects; n < 28 {
		t.Errorf("%d connects in a day, want one an hour and one for each GO_AWAY", n)
	}
}

func number(t *testing.T, frame string) int {
	var m struct{ MessagePayload string }
	if err := json.Unmarshal([]byte(frame), &m); err != nil {
		t.Error(err)
	}
	p, err := base64.StdEncoding.DecodeString(m.MessagePayload)
	if err != nil {
		t.Error(err)
	}
	return payloadNumber(t, p)
}

func payloadNumber(t *testing.T, p []byte) int {
	var m struct{ N string }
	if err := json.Unmarshal(p, &m); err != nil {
		t.Error(err)
	}
	n, err := strconv.Atoi(m.N)
	if err != nil {
		t.Error(err)
	}
	return n
}

// A week of random faults. After each one has passed, the client is connected again within the longest wait of its
// policy, and a message passes in each direction.
func TestWeekOfFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("a week")
	}
	rnd := random(t)
	wall := time.Now()
	synctest.Test(t, func(t *testing.T) { weekOfFaults(t, rnd) })
	t.Logf("a week in %v", time.Since(wall).Round(time.Millisecond))
}

func weekOfFaults(t *testing.T, rnd *rand.Rand) {
	f := newFake(t)
	opts := f.start()
	opts.Rand = rand.New(rand.NewPCG(rnd.Uint64(), 0)).Float64
	r := run(t, opts)
	s := f.socket()
	newest := func() *socket {
		for len(f.sockets) > 0 {
			s = <-f.sockets
		}
		return s
	}
	answers := []answer{
		{500, "", "", nil}, {502, "", "<html>", nil}, {503, "", "", http.Header{"Retry-After": {"30"}}},
		{504, "", "", nil}, {429, "", "", nil},
		{400, "ClientLimitExceededException", "{}", nil}, {400, "InvalidArgumentException", "{}", nil},
		{401, "", "", nil},
		{403, "AccessDeniedException", "{}", nil}, {403, "", `{"message":"Signature expired: x"}`, nil},
		{404, "ResourceNotFoundException", "{}", nil},
		{302, "", "", nil}, {200, "", "", nil}, {200, "", "[]", nil}, {418, "", "tea", nil},
	}
	paths := []string{describePath, endpointPath, wssPath}
	closes := []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4999}
	frames := []string{"", "null", "[]", `{"messageType":"GO_AWAY"}`, `{"messageType":"RECONNECT_ICE_SERVER"}`,
		`{"messageType":"X"}`, strings.Repeat("x", 100<<10)}
	faults := []func() string{
		func() string { f.cut(); return "cut" },
		func() string { f.set(func() { f.down = true }); f.cut(); return "network down" },
		func() string { f.set(func() { f.mute = true }); f.cut(); return "no pongs" },
		func() string { f.set(func() { f.stall = true }); f.cut(); return "write stall" },
		func() string {
			p, a := paths[rnd.IntN(len(paths))], answers[rnd.IntN(len(answers))]
			f.set(func() { f.always[p] = a })
			f.cut()
			return fmt.Sprintf("%s says %d %s", p, a.status, a.code)
		},
		func() string {
			code := closes[rnd.IntN(len(closes))]
			_ = newest().WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""),
				time.Now().Add(time.Second))
			return fmt.Sprint("close ", code)
		},
		func() string {
			frame := frames[rnd.IntN(len(frames))]
			_ = newest().WriteMessage(websocket.TextMessage, []byte(frame)) // the socket may be gone
			return fmt.Sprintf("frame %.20q", frame)
		},
		func() string {
			off := time.Duration(rnd.IntN(48)-24) * time.Hour
			f.set(func() { f.skew = off })
			return fmt.Sprint("clock off by ", off)
		},
	}
	defer func() { t.Logf("%d connects, %d frames ignored", r.Report().Connects, r.Report().Ignored) }()
	for passed := time.Duration(0); passed < 7*24*time.Hour; {
		synctest.Wait()
		var what []string
		for range 1 + rnd.IntN(3) {
			what = append(what, faults[rnd.IntN(len(faults))]())
		}
		d := time.Duration(rnd.Int64N(int64(20 * time.Minute)))
		time.Sleep(d)
		f.set(func() { // the fault passes
			f.down, f.mute, f.stall = false, false, false
			clear(f.always)
		})
		const longest = 16 * time.Minute
		time.Sleep(longest)
		passed += d + longest
		if r.Report().State != signaling.Online {
			t.Fatalf("after %v: %s; report %+v", what, r.Report().State, r.Report())
		}
		n := r.Report().Sent
		if err := r.Send(signaling.Message{Type: signaling.SDPAnswer, ClientID: "v",
			Payload: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r.Report().Sent != n+1 {
			t.Fatalf("after %v: the message was not sent; report %+v", what, r.Report())
		}
		for len(r.events) > 0 {
			<-r.events
		}
	}
}

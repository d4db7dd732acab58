package signaling_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/signaling"
)

func TestStorageSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.storage = "ENABLED"
		bodies := make(chan string, 100)
		f.onJoin = func(body string) { bodies <- body }
		opts := f.start()
		opts.Storage = signaling.StorageAuto
		r := run(t, opts)
		expect[signaling.Connected](r)
		s := f.socket()
		if b := <-bodies; b != `{"channelArn":"`+arn+`"}` {
			t.Errorf("join %s", b)
		}
		s.say(t, message("ICE_CANDIDATE", "", `{"candidate":"early"}`))
		s.say(t, message("SDP_OFFER", "", offer))
		expect[signaling.Received](r)
		if got := expect[signaling.Received](r); got.Type != signaling.SDPOffer || got.ClientID != "" {
			t.Errorf("received %+v", got)
		}
		if err := r.Send(signaling.Message{Type: signaling.SDPAnswer, Payload: []byte(offer)}); err != nil {
			t.Fatal(err)
		}
		if frame := <-s.frames; strings.Contains(frame, "recipientClientId") {
			t.Errorf("answer %s, want no recipient", frame)
		}
		// The session outlives WebSockets, and is renewed before its hour is over.
		start := time.Now()
		f.cut()
		expect[signaling.Disconnected](r)
		expect[signaling.Connected](r)
		s = f.socket()
		<-bodies
		for len(f.sockets) > 0 { // it was replaced meanwhile
			s = <-f.sockets
		}
		if d := time.Since(start); d < 57*time.Minute || d > 61*time.Minute {
			t.Errorf("joined again after %v", d)
		}
		s.say(t, message("SDP_OFFER", "", `{"type":"offer","sdp":"2"}`))
		synctest.Wait()
		if rep := r.Report(); !rep.Storage || rep.StorageErr != nil {
			t.Errorf("report %+v", rep)
		}
		// The peer has ended.
		r.Rejoin(nil)
		synctest.Wait()
		if n := f.count(joinPath); n != 3 {
			t.Errorf("%d joins, want 3", n)
		}
	})
}

// joining is a client that has the service's offer while the call that asked for it waits for its answer. Each call
// shows its body and waits until answer is closed.
func joining(t *testing.T) (f *fake, r *running, bodies chan string, answer chan struct{}) {
	t.Helper()
	f = newFake(t)
	f.storage = "ENABLED"
	bodies, answer = make(chan string, 100), make(chan struct{})
	f.onJoin = func(body string) { bodies <- body; <-answer }
	opts := f.start()
	opts.Storage = signaling.StorageAuto
	r = run(t, opts)
	expect[signaling.Connected](r)
	s := f.socket()
	<-bodies
	s.say(t, message("SDP_OFFER", "", offer))
	expect[signaling.Received](r)
	return f, r, bodies, answer
}

// TestStorageJoinWithoutAnAnswer: the service's offer comes, and the answer to the call that asked for it does not,
// since the network is cut. The session is there all the same, and is renewed before its hour is over.
func TestStorageJoinWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r, bodies, answer := joining(t)
		synctest.Wait()
		f.cut()
		close(answer)
		start := time.Now()
		<-bodies
		if d := time.Since(start); d < 57*time.Minute || d > 61*time.Minute {
			t.Errorf("joined again after %v, want before the hour is over", d)
		}
		if err := r.Report().StorageErr; err != nil {
			t.Errorf("the report has %v", err)
		}
	})
}

// TestStorageSessionThatEndsBeforeTheAnswer: the peer of the service's offer ends while the call that asked for it
// still waits for its answer. Another session is asked for when that has come.
func TestStorageSessionThatEndsBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r, bodies, answer := joining(t)
		r.Rejoin(nil)
		synctest.Wait()
		close(answer)
		start := time.Now()
		<-bodies
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("joined again after %v, want at once", d)
		}
	})
}

func TestStorageJoinAsViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.storage = "ENABLED"
		bodies := make(chan string, 100)
		f.onJoin = func(body string) { bodies <- body }
		opts := f.start()
		opts.Storage, opts.Role, opts.ClientID = signaling.StorageOn, signaling.Viewer, "v1"
		run(t, opts)
		if b := <-bodies; b != `{"channelArn":"`+arn+`","clientId":"v1"}` || f.count(joinViewerPath) != 1 {
			t.Errorf("join %s", b)
		}
	})
}

func TestStorageOfferNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.storage = "ENABLED"
		opts := f.start()
		opts.Storage = signaling.StorageOn
		r := run(t, opts)
		expect[signaling.Connected](r)
		time.Sleep(40 * time.Second)
		rep := r.Report()
		if n := f.count(joinPath); n != 5 || rep.StorageErr == nil ||
			!strings.Contains(rep.StorageErr.Error(), "H.264 video with Opus") || rep.State != signaling.Online {
			t.Errorf("%d joins, report %+v", n, rep)
		}
		time.Sleep(50 * time.Second)
		if n := f.count(joinPath); n != 5 {
			t.Errorf("%d joins, want a minute of rest", n)
		}
		time.Sleep(time.Hour)
		if n := f.count(joinPath); n < 30 || n > 80 {
			t.Errorf("%d joins in an hour", n)
		}
	})
}

func TestStorageJoinNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.storage = "ENABLED"
		f.always[joinPath] = answer{403, "AccessDeniedException", `{"message":"no"}`, nil}
		opts := f.start()
		opts.Storage = signaling.StorageOn
		r := run(t, opts)
		expect[signaling.Connected](r)
		time.Sleep(time.Second)
		if err := r.Report().StorageErr; err == nil ||
			!strings.Contains(err.Error(), "kinesisvideo:JoinStorageSession") {
			t.Errorf("err = %v", err)
		}
		if n := f.count(joinPath); n != 2 {
			t.Errorf("%d joins, want one more with fresh keys", n)
		}
	})
}

func TestStorageSessionsThatEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.storage = "ENABLED"
		joins := make(chan time.Time, 100)
		f.onJoin = func(string) { joins <- time.Now() }
		opts := f.start()
		opts.Storage = signaling.StorageOn
		r := run(t, opts)
		expect[signaling.Connected](r)
		s := f.socket()
		start := time.Now()
		var at []time.Duration
		for len(at) < 12 {
			at = append(at, (<-joins).Sub(start))
			s.say(t, message("SDP_OFFER", "", offer))
			synctest.Wait()
			r.Rejoin(errors.New("the source has no Opus"))
			synctest.Wait()
			err := r.Report().StorageErr
			if err == nil || !strings.Contains(err.Error(), "no Opus") ||
				strings.Contains(err.Error(), "end right after they begin") != (len(at) > 5) {
				t.Errorf("after %d joins: %v", len(at), err)
			}
		}
		if at[1] > time.Second || at[5] > time.Minute {
			t.Errorf("joined at %v, want the first ones soon", at)
		}
		for i := 6; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < 30*time.Second {
				t.Errorf("joined at %v, want rests between the later ones", at)
			}
		}
	})
}

func TestStorageModes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mode    signaling.Storage
		service string
		answer  answer // of describeMediaStorageConfiguration, when not the usual one
		asked   int
		joins   int
		err     string
	}{
		{"off", signaling.StorageOff, "ENABLED", answer{}, 0, 0, ""},
		{"auto, not configured", signaling.StorageAuto, "DISABLED", answer{}, 1, 0, ""},
		{"auto, not known", signaling.StorageAuto, "", answer{404, "ResourceNotFoundException", "{}", nil}, 1, 0, ""},
		{"auto, not allowed", signaling.StorageAuto, "", answer{403, "AccessDeniedException", "{}", nil}, 1, 0, ""},
		{"auto, configured", signaling.StorageAuto, "ENABLED", answer{}, 1, 1, ""},
		{"on, not configured", signaling.StorageOn, "DISABLED", answer{}, 1, 0, "storage is not enabled"},
		{"on, not allowed", signaling.StorageOn, "", answer{403, "AccessDeniedException", "{}", nil}, 1, 0,
			"kinesisvideo:DescribeMediaStorageConfiguration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.storage = tt.service
				f.next(storagePath, tt.answer)
				opts := f.start()
				opts.Storage = tt.mode
				r := run(t, opts)
				if tt.err != "" {
					if got := expect[signaling.Disconnected](r); !strings.Contains(got.Err.Error(), tt.err) {
						t.Errorf("err = %v, want %q", got.Err, tt.err)
					}
					return
				}
				expect[signaling.Connected](r)
				synctest.Wait()
				if a, j := f.count(storagePath), f.count(joinPath); a != tt.asked || j != tt.joins {
					t.Errorf("asked %d times, %d joins; want %d, %d", a, j, tt.asked, tt.joins)
				}
			})
		})
	}
}

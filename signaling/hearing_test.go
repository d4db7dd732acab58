package signaling_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/signaling"
)

// listening returns a fake that passes messages on, and options of a master that asks after five silent minutes.
func listening(t *testing.T) (*fake, signaling.Options) {
	f := newFake(t)
	f.route = true
	o := f.start()
	o.Hearing = 5 * time.Minute
	return f, o
}

// TestDisplacedIsNoticed: another master takes the channel. The older one finds out, takes it back, and knows that it
// has; its owner sees no message of the question.
func TestDisplacedIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, o := listening(t)
		r := run(t, o)
		expect[signaling.Connected](r)
		f.socket()
		time.Sleep(time.Minute)
		rival := run(t, signalingOf(o, 0)) // one that never asks
		expect[signaling.Connected](rival)
		f.socket()
		time.Sleep(5 * time.Minute)
		if got := r.Report(); got.Displaced != 1 {
			t.Fatalf("after five silent minutes it is %s, displaced %d times", got.State, got.Displaced)
		}
		f.socket() // it takes the channel back
		expect[signaling.Connected](r)
		time.Sleep(10 * time.Second)
		if got := r.Report(); got.State != signaling.Online || got.Err != nil {
			t.Errorf("afterwards it is %s, %v", got.State, got.Err)
		}
		time.Sleep(20 * time.Minute)
		if got := r.Report(); got.Displaced != 1 || got.Connects != 2 {
			t.Errorf("nobody took the channel again, and it was displaced %d times in %d connections", got.Displaced,
				got.Connects)
		}
		for range len(r.events) {
			t.Errorf("the owner got %#v", <-r.events)
		}
	})
}

func signalingOf(o signaling.Options, hearing time.Duration) signaling.Options {
	o.Hearing = hearing
	return o
}

// TestSilentMasterStaysConnected: with nobody else on the channel, an hour without viewers costs the questions and one
// planned connection, and the log says nothing.
func TestSilentMasterStaysConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, o := listening(t)
		r := run(t, o)
		expect[signaling.Connected](r)
		time.Sleep(time.Hour)
		got := r.Report()
		asked := f.count(wssPath) - int(got.Connects)
		if got.State != signaling.Online || got.Connects != 2 || got.Displaced != 0 || asked < 9 || asked > 12 {
			t.Errorf("%s after %d connections, %d displaced, %d questions", got.State, got.Connects, got.Displaced,
				asked)
		}
		if n := f.count(endpointPath); n != 2 {
			t.Errorf("%d calls for endpoints, want one for each role", n)
		}
		if n := got.Received; n != 0 {
			t.Errorf("%d messages for the owner", n)
		}
	})
}

// TestBusyMasterDoesNotAsk: who is heard has nothing to ask.
func TestBusyMasterDoesNotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, o := listening(t)
		r := run(t, o)
		expect[signaling.Connected](r)
		s := f.socket()
		for range 30 {
			time.Sleep(time.Minute)
			s.say(t, message("SDP_OFFER", "v", offer))
			expect[signaling.Received](r)
		}
		if n := f.count(wssPath); n != 1 {
			t.Errorf("%d connections, want the first alone", n)
		}
	})
}

// TestExpected: an offer that the owner knows of and that does not come is found out within seconds, one that comes
// causes no question.
func TestExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, o := listening(t)
		r := run(t, o)
		expect[signaling.Connected](r)
		s := f.socket()
		r.Expect()
		time.Sleep(time.Second)
		s.say(t, message("SDP_OFFER", "page-1", offer))
		expect[signaling.Received](r)
		time.Sleep(time.Minute)
		if n := f.count(wssPath); n != 1 {
			t.Errorf("%d connections after an offer that came", n)
		}
		rival := run(t, signalingOf(o, 0))
		expect[signaling.Connected](rival)
		f.socket()
		r.Expect()
		time.Sleep(12 * time.Second)
		f.socket()
		expect[signaling.Connected](r)
		if got := r.Report(); got.Displaced != 1 {
			t.Errorf("displaced %d times", got.Displaced)
		}
	})
}

// TestContest: two masters that both ask share a channel for a day. Neither is quick to take it back for long, both say
// so while they do not have it, and the service's limits are far away.
func TestContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, o := listening(t)
		one := run(t, o)
		expect[signaling.Connected](one)
		two := run(t, o)
		expect[signaling.Connected](two)
		both, neither := 0, 0
		for range 24 * 60 {
			time.Sleep(time.Minute)
			a, b := one.Report().State == signaling.Online, two.Report().State == signaling.Online
			if a && b {
				both++
			}
			if !a && !b {
				neither++
			}
		}
		connects := one.Report().Connects + two.Report().Connects
		t.Logf("%d connections as master in a day, %d minutes in which both think they have it, %d with neither",
			connects, both, neither)
		if connects > 140 || both > 24*60/4 || neither > 10 {
			t.Errorf("%d connections, %d minutes of error, %d without a master", connects, both, neither)
		}
		for range len(f.sockets) {
			<-f.sockets
		}
	})
}

// TestMayNotAsk: keys without ConnectAsViewer. The connection is renewed when nobody was heard for ten minutes, which
// takes a lost channel back too, and the log says once why.
func TestMayNotAsk(t *testing.T) {
	for name, path := range map[string]string{"endpoint": endpointPath, "upgrade": wssPath} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, o := listening(t)
				r := run(t, o)
				expect[signaling.Connected](r)
				f.socket()
				denied := answer{403, "AccessDeniedException",
					`{"message":"User is not authorized to perform: kinesisvideo:ConnectAsViewer"}`, http.Header{}}
				f.next(path, denied, denied)
				time.Sleep(time.Hour)
				got := r.Report()
				if got.State != signaling.Online || got.Connects < 5 || got.Connects > 6 {
					t.Errorf("%s after %d connections in an hour, want one in ten to eleven minutes", got.State,
						got.Connects)
				}
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				if n := strings.Count(r.logged.String(), "cannot be asked"); n != 1 {
					t.Errorf("the log says %d times that it may not ask", n)
				}
			})
		})
	}
}

// TestQuestionWithoutAnAnswer: the service cannot be asked for another reason. That says nothing about the channel.
func TestQuestionWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, o := listening(t)
		r := run(t, o)
		expect[signaling.Connected](r)
		f.socket()
		full := answer{400, "ClientLimitExceededException", `{"message":"too many viewers"}`, http.Header{}}
		for range 20 {
			f.next(wssPath, full)
		}
		time.Sleep(40 * time.Minute)
		if got := r.Report(); got.State != signaling.Online || got.Connects != 1 {
			t.Errorf("%s after %d connections, want no change", got.State, got.Connects)
		}
	})
}

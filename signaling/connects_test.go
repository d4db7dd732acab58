package signaling_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/kvsagent/kvsagent/signaling"
)

// TestThreeConnectsASecond: the service allows three connects a second for a channel (KVS dev guide, Limits). Here the
// random numbers are the worst ones: every wait with jitter is zero. Still there are no more connects, whatever the
// service or the host does.
func TestThreeConnectsASecond(t *testing.T) {
	closing := func(code int) func(*fake, *running) {
		return func(f *fake, _ *running) {
			_ = (<-f.sockets).WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""),
				time.Now().Add(time.Second))
		}
	}
	for _, tt := range []struct {
		name    string
		refusal answer                // of each upgrade, unless 0
		opened  func(*fake, *running) // what happens to a session that has opened
		least   int                   // minimum of connects in ten seconds, so that the test tests something
	}{
		{"sessions are cut", answer{}, func(f *fake, _ *running) { f.cut() }, 20},
		{"sessions are closed, 1000", answer{}, closing(1000), 20},
		{"sessions are closed, 1011", answer{}, closing(1011), 20},
		{"sessions are closed, 1009", answer{}, closing(1009), 20},
		{"sessions are closed, 1013", answer{}, closing(1013), 20},
		{"throttled", answer{400, "ClientLimitExceededException", "{}", nil}, nil, 20},
		{"429", answer{429, "", "", nil}, nil, 20},
		{"500", answer{500, "", "", nil}, nil, 20},
		{"Retry-After is nothing", answer{503, "", "", http.Header{"Retry-After": {"0"}}}, nil, 20},
		{"the network changes all the time, and sessions are cut", answer{}, func(f *fake, r *running) {
			r.NetworkChanged()
			f.cut()
		}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				opts := f.start()
				dials := countUpgrades(t, f, &opts, tt.refusal)
				r := run(t, opts)
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
					select {
					case e := <-r.events:
						if _, ok := e.(signaling.Connected); ok && tt.opened != nil {
							tt.opened(f, r)
						}
					case <-time.After(time.Second):
					}
				}
				if n := len(dials()); n < tt.least || n > 30 {
					t.Errorf("%d connects in ten seconds, want %d to 30", n, tt.least)
				}
			})
		})
	}
	t.Run("the agent starts again and again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			opts := f.start()
			dials := countUpgrades(t, f, &opts, answer{})
			c, err := signaling.New(opts)
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if err := c.Run(ctx, func(signaling.Event) { cancel() }); err != nil {
					t.Error(err)
				}
			}
			if n := len(dials()); n != 20 {
				t.Errorf("%d connects, want 20", n)
			}
		})
	})
}

// countUpgrades makes f refuse upgrades, if refusal has a status, and checks their times. Random numbers are the worst
// ones until there are too many upgrades, since time would otherwise never advance.
func countUpgrades(t *testing.T, f *fake, o *signaling.Options, refusal answer) func() []time.Time {
	var at []time.Time // guarded by f.mu
	var bad atomic.Bool
	o.Rand = func() float64 {
		if bad.Load() {
			return 0.9
		}
		return 0
	}
	f.onUpgrade = func() {
		f.set(func() {
			at = append(at, time.Now())
			if n := len(at); n > 3 && at[n-1].Sub(at[n-4]) < time.Second && !bad.Swap(true) {
				t.Errorf("connects %d to %d within %v", n-3, n, at[n-1].Sub(at[n-4]))
			}
		})
	}
	if refusal.status != 0 {
		f.always[wssPath] = refusal
	}
	return func() (all []time.Time) {
		f.set(func() { all = at })
		return all
	}
}

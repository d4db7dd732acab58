package agent_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
)

// reloaded waits for the outcome of a reload after the one that was there before.
func reloaded(t *testing.T, a *agent.Agent, before *status.Reload) *status.Reload {
	t.Helper()
	eventually(t, "the reload is over", func() bool { return a.Report().Reload.At.After(before.At) })
	return a.Report().Reload
}

// TestReloadOntoABusyPort: the new socket is opened before anything stops.
func TestReloadOntoABusyPort(t *testing.T) {
	s := service(t)
	a, reload := start(t, parse(t, s, gate))
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	busy, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	session1, before := session(t, a, "gate").Session, a.Report().Reload
	bad := parse(t, s, gate)
	bad.WebRTC.UDPPort = busy.LocalAddr().(*net.UDPAddr).Port
	reload <- bad
	if r := reloaded(t, a, before); r.OK || !strings.Contains(r.Error, "address already in use") ||
		!r.Success.Equal(before.Success) {
		t.Errorf("the reload is reported as %+v", r)
	}
	v.plays(t, 15)
	if got := session(t, a, "gate").Session; got != session1 {
		t.Errorf("session %s became %s", session1, got)
	}
	if r := a.Report(); len(r.Channels) != 1 || len(r.Sources) != 1 {
		t.Errorf("%d channels and %d sources are left", len(r.Channels), len(r.Sources))
	}
	before = a.Report().Reload
	reload <- parse(t, s, gate)
	if r := reloaded(t, a, before); !r.OK || r.Error != "" {
		t.Errorf("the next reload is reported as %+v", r)
	}
}

// TestReloadOntoAnotherPort: viewers that are there stay on the old socket, and the next come over the new.
func TestReloadOntoAnotherPort(t *testing.T) {
	s := service(t)
	a, reload := start(t, parse(t, s, gate))
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	before := a.Report().Reload
	next := parse(t, s, gate)
	next.WebRTC.UDPPort = freePort(t)
	reload <- next
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	v.plays(t, 15)
	w := join(t, s, "gate", "phone").watch()
	w.plays(t, 5)
	if r := v.conn.Report(); r.Receiving[0].Lost != 0 {
		t.Errorf("the viewer that was there lost %d packets", r.Receiving[0].Lost)
	}
	before = a.Report().Reload
	again := parse(t, s, gate) // the same port, other addresses: the old socket is in the way
	again.WebRTC.UDPPort, again.WebRTC.IP = next.WebRTC.UDPPort, "ipv4"
	reload <- again
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	connected(t, a, "gate")
	join(t, s, "gate", "laptop").watch().plays(t, 5)
}

// TestReloadToAnotherService: signaling goes on where it is until the new connection is there, and viewers notice
// neither that nor its failure.
func TestReloadToAnotherService(t *testing.T) {
	s, other := service(t), service(t)
	a, reload := start(t, parse(t, s, gate))
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	before := a.Report().Reload
	reload <- parse(t, other, gate)
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	w := join(t, other, "gate", "phone").watch()
	w.plays(t, 5)
	v.plays(t, 15)
	before = a.Report().Reload
	nowhere := parse(t, other, gate)
	nowhere.AWS.Endpoint = "http://127.0.0.1:9"
	reload <- nowhere
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	eventually(t, "the report says that the new settings do not connect", func() bool {
		return strings.Contains(channel(a, "gate").Error, "the new settings do not connect")
	})
	if got := channel(a, "gate").State; got != "connected" {
		t.Errorf("the channel is %s", got)
	}
	join(t, other, "gate", "laptop").watch().plays(t, 5)
	w.plays(t, 5)
}

func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// TestReloadInTheMiddleOfANegotiation: a viewer whose offer is being answered gets its picture.
func TestReloadInTheMiddleOfANegotiation(t *testing.T) {
	s := service(t)
	a, reload := start(t, parse(t, s, gate))
	for i, change := range []func(*config.Config){
		func(c *config.Config) { c.Limits.Offers.PerSecond = 6 },
		func(c *config.Config) { c.AWS.Spread = time.Second },
		func(c *config.Config) { c.WebRTC.UDPPort = freePort(t) },
		func(c *config.Config) { c.AWS.Credentials.SecretAccessKey = "another" },
	} {
		before := a.Report().Reload
		next := parse(t, s, gate)
		change(next)
		v := join(t, s, "gate", fmt.Sprint("v", i)).watch()
		reload <- next
		if r := reloaded(t, a, before); !r.OK {
			t.Fatal(r.Error)
		}
		v.plays(t, 5)
	}
}

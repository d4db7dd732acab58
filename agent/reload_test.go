package agent_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/status"
)

// reloaded waits for the outcome of a reload after the one that was there before.
func reloaded(t *testing.T, a *agent.Agent, before *status.Reload) *status.Reload {
	t.Helper()
	eventually(t, "the reload is over", func() bool { return a.Report().Reload.At.After(before.At) })
	return a.Report().Reload
}

// moved waits until a channel has connected after a reload that was asked for then, and so is there for others to join.
func moved(t *testing.T, a *agent.Agent, name string, then time.Time) {
	t.Helper()
	eventually(t, "channel "+name+" is connected anew", func() bool {
		c := channel(a, name)
		return c.State == "connected" && c.Since.After(then)
	})
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
	at := time.Now()
	reload <- parse(t, other, gate)
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	moved(t, a, "gate", at)
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

// TestReloadBackToTheFirstPort: an operator takes a change back while viewers are still on the old sockets, which are
// his own program's.
func TestReloadBackToTheFirstPort(t *testing.T) {
	s := service(t)
	first := parse(t, s, gate)
	first.WebRTC.UDPPort = freePort(t)
	a, reload := start(t, first)
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	apply := func(change func(*config.Config)) {
		t.Helper()
		before, next := a.Report().Reload, parse(t, s, gate)
		next.WebRTC.UDPPort = first.WebRTC.UDPPort
		change(next)
		reload <- next
		if r := reloaded(t, a, before); !r.OK {
			t.Fatal(r.Error)
		}
	}
	apply(func(c *config.Config) { c.WebRTC.UDPPort = 0 })
	w := join(t, s, "gate", "phone").watch()
	w.plays(t, 5)
	apply(func(*config.Config) {})
	x := join(t, s, "gate", "laptop").watch()
	x.plays(t, 5)
	for _, viewer := range []*view{v, w, x} {
		viewer.plays(t, 5)
	}
	v.stop()
	x.stop()
	apply(func(c *config.Config) { c.WebRTC.UDPPort = 0; c.WebRTC.IP = "ipv4" })
	apply(func(c *config.Config) { c.WebRTC.IP = "ipv4" }) // the first port, for other sockets
	connected(t, a, "gate")
	join(t, s, "gate", "kiosk").watch().plays(t, 5)
}

// TestReloadWithOneBusyPort: of two ports one is our own, so that not all can be opened before something closes. What
// can be tried is tried first.
func TestReloadWithOneBusyPort(t *testing.T) {
	s := service(t)
	port := freePort(t)
	cfg := func() *config.Config {
		c := parse(t, s, gate)
		c.WebRTC.UDPPort = port
		return c
	}
	a, reload := start(t, cfg())
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	busy, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	before, was := a.Report().Reload, session(t, a, "gate").Session
	bad := cfg()
	bad.WebRTC.TCPPort = busy.Addr().(*net.TCPAddr).Port
	reload <- bad
	if r := reloaded(t, a, before); r.OK || !strings.Contains(r.Error, "webrtc.tcp_port") {
		t.Errorf("the reload is reported as %+v", r)
	}
	v.plays(t, 15)
	if now := session(t, a, "gate").Session; now != was {
		t.Errorf("session %s became %s", was, now)
	}
}

// TestReloadElsewhereInTheMiddleOfANegotiation: what the agent has begun with a remote of the old channel it brings to
// its end over that channel, in both directions.
func TestReloadElsewhereInTheMiddleOfANegotiation(t *testing.T) {
	s, other := service(t), service(t)
	offering := "channels:\n  gate: {source: pattern, create: true, offer_to: [kiosk]}\n"
	a, reload := start(t, parse(t, s, offering))
	tablet, kiosk := join(t, s, "gate", "tablet"), join(t, s, "gate", "kiosk")
	v := tablet.watch()
	v.plays(t, 5)
	hasMoved := make(chan struct{})
	w := kiosk.connect(peer.Config{}, func(s peer.Signal) []peer.Signal {
		if _, ok := s.(peer.Answer); ok {
			<-hasMoved
		}
		return []peer.Signal{s}
	})
	eventually(t, "the kiosk has its offer", func() bool { return kiosk.offers.Load() > 0 })
	before := a.Report().Reload
	at := time.Now()
	reload <- parse(t, other, offering)
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	moved(t, a, "gate", at)
	join(t, other, "gate", "phone").watch().plays(t, 5)
	close(hasMoved)
	w.plays(t, 5)
	answers := tablet.answers.Load()
	v.conn.Restart()
	eventually(t, "the tablet's new offer is answered", func() bool { return tablet.answers.Load() > answers })
	v.plays(t, 5)
}

// TestReloadKeepsGoodKeys: they were fetched from something that is away now.
func TestReloadKeepsGoodKeys(t *testing.T) {
	s := service(t)
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = localkvs\naws_secret_access_key = localkvs\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	cfg := func() *config.Config {
		c := parse(t, s, gate)
		c.AWS.Credentials = config.Credentials{}
		return c
	}
	a, reload := start(t, cfg())
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	before, next := a.Report().Reload, cfg()
	next.AWS.Spread = time.Second // signaling connects anew
	reload <- next
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	eventually(t, "the new connection is there", func() bool { return channel(a, "gate").Connects == 1 })
	join(t, s, "gate", "tablet").watch().plays(t, 5)
	if err := channel(a, "gate").Error; err != "" {
		t.Error(err)
	}
}

// TestReloadWithAStuckChannel: a channel whose goroutine is stuck takes no new config. It begins anew under it, and
// another channel does not notice.
func TestReloadWithAStuckChannel(t *testing.T) {
	s := service(t)
	both := gate + "  yard: {source: pattern, create: true}\n"
	a, reload := start(t, parse(t, s, both))
	v, w := join(t, s, "gate", "tablet").watch(), join(t, s, "yard", "tablet").watch()
	v.plays(t, 5)
	w.plays(t, 5)
	release := a.BlockChannel("gate", "tablet")
	defer release()
	before, next := a.Report().Reload, parse(t, s, both)
	next.Limits.MaxPending++
	reload <- next
	if r := reloaded(t, a, before); !r.OK {
		t.Fatal(r.Error)
	}
	connected(t, a, "gate")
	join(t, s, "gate", "phone").watch().plays(t, 5)
	w.plays(t, 5)
}

// TestEndInTheMiddleOfAReload: what a reload stops and does not end keeps nobody from ending the process.
func TestEndInTheMiddleOfAReload(t *testing.T) {
	s := service(t)
	both := gate + "  yard: {source: pattern, create: true}\n"
	started, reload := make(chan struct{}), make(chan *config.Config)
	a := agent.New(agent.Options{Started: func() { close(started) }, Log: logger("agent")})
	stop := run(t, func(ctx context.Context) {
		if err := a.Run(ctx, parse(t, s, both), reload); err != nil {
			t.Error(err)
		}
	})
	<-started
	connected(t, a, "yard")
	join(t, s, "yard", "tablet").watch().plays(t, 5)
	release := a.BlockChannel("yard", "tablet")
	defer release()
	reload <- parse(t, s, gate) // without the yard, which does not end
	began := time.Now()
	stop()
	if took := time.Since(began); took > agent.StopWithin/2 {
		t.Errorf("the agent has ended after %v", took)
	}
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

package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/localkvs"
)

// relayOnly is a config in which the agent's only path is a TURN server's, with short timeouts.
const (
	relayOnly = "webrtc: {ice_transport_policy: relay}\n" + impatient
	impatient = "limits: {setup_timeout: 5s}\n"
)

// ends waits until a session of a channel has ended, and returns the reason.
func ends(t *testing.T, d time.Duration, a *agent.Agent, name string) string {
	t.Helper()
	within(t, d, "a session of "+name+" is over", func() bool { return len(channel(a, name).Ended) > 0 })
	return reasons(a, name)
}

// TestTURNQuota: a TURN server refuses one more allocation (486). The session that wanted it ends with that reason, the
// others are not affected, and the viewer is served when it returns and there is room.
func TestTURNQuota(t *testing.T) {
	t.Parallel()
	s := serviceWith(t, localkvs.Options{Limits: localkvs.Limits{Allocations: 1}})
	a, _ := start(t, parse(t, s, relayOnly+gate))
	v := join(t, s, "gate", "first").watch()
	v.plays(t, 5)
	before := session(t, a, "gate")
	if before.Local != "relay" {
		t.Fatalf("path %s/%s, want our relay", before.Local, before.Remote)
	}
	second := join(t, s, "gate", "second")
	w := second.watch()
	if got := ends(t, patience, a, "gate"); !strings.Contains(got, "no TURN server gave us a relay") {
		t.Errorf("the second session ended because %q", got)
	}
	w.stop()
	v.plays(t, 15)
	if after := session(t, a, "gate"); after.Session != before.Session {
		t.Errorf("session %s became %s", before.Session, after.Session)
	}
	if r := v.conn.Report(); r.Receiving[0].Lost != 0 {
		t.Errorf("the first viewer lost %d packets", r.Receiving[0].Lost)
	}
	v.stop()
	eventually(t, "the first session is over", func() bool { return len(channel(a, "gate").Peers) == 0 })
	second.watch().plays(t, 5)
}

// TestTURNServerDies: sessions through the server end, with the reason. The others are not affected. Once there is a
// server again, a viewer that returns is served.
func TestTURNServerDies(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute: ICE gives up after half of one, twice")
	}
	t.Parallel()
	s := service(t)
	direct, _ := start(t, parse(t, s, impatient+gate))
	relayed, _ := start(t, parse(t, s, relayOnly+"channels:\n  yard: {source: pattern, create: true}\n"))
	v, w := join(t, s, "gate", "direct").watch(), join(t, s, "gate", "relayed").relayed(true)
	yard := join(t, s, "yard", "tablet")
	x := yard.watch()
	for _, view := range []*view{v, w, x} {
		view.plays(t, 5)
	}
	before := peers(direct)["direct"]
	if p := session(t, relayed, "yard"); p.Local != "relay" || peers(direct)["relayed"].Remote != "relay" ||
		before.Remote == "relay" {
		t.Fatalf("paths: %+v, %+v", p, peers(direct))
	}
	s.SetFaults(localkvs.Faults{TURNDown: true})
	// ICE gives up after half a minute, and then asks for a restart, which finds no path either.
	const most = 90 * time.Second
	for a, name := range map[*agent.Agent]string{direct: "gate", relayed: "yard"} {
		if got := ends(t, most, a, name); !strings.Contains(got, "ice failed: nothing heard from the remote") {
			t.Errorf("the session of %s ended because %q", name, got)
		}
	}
	v.plays(t, 15)
	if after := peers(direct)["direct"]; after.Session != before.Session {
		t.Errorf("session %s became %q", before.Session, after.Session)
	}
	if r := v.conn.Report(); r.Receiving[0].Lost != 0 {
		t.Errorf("the direct viewer lost %d packets", r.Receiving[0].Lost)
	}
	s.SetFaults(localkvs.Faults{})
	x.stop()
	yard.watch().plays(t, 5)
}

// TestStaleTURNPassword: a session outlives the password that it began with, and the next session gets another.
func TestStaleTURNPassword(t *testing.T) {
	t.Parallel()
	const life = 3 * time.Second
	s := serviceWith(t, localkvs.Options{Limits: localkvs.Limits{CredentialLife: life}})
	a, _ := start(t, parse(t, s, relayOnly+gate))
	began := time.Now()
	v := join(t, s, "gate", "first").watch()
	for v.plays(t, 5); time.Since(began) < life+time.Second; v.plays(t, 5) {
	}
	before := session(t, a, "gate")
	join(t, s, "gate", "second").watch().plays(t, 5)
	v.plays(t, 5)
	all := peers(a)
	if all["first"].Session != before.Session || all["first"].Local != "relay" || all["second"].Local != "relay" ||
		len(channel(a, "gate").Ended) != 0 {
		t.Errorf("sessions %+v; ended: %s", all, reasons(a, "gate"))
	}
}

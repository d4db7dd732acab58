package agent_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/netnstest"
	"github.com/kvsagent/kvsagent/localkvs"
)

// TestNetworkChanged: a channel that is waiting for half a minute or more retries at once when this host gets another
// address. It runs in its own network namespace.
func TestNetworkChanged(t *testing.T) {
	if !netnstest.Inside(t, time.Minute) {
		return
	}
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	s.SetFaults(localkvs.Faults{Connect: localkvs.Refusal{Status: 403, Type: "AccessDeniedException"}})
	if n, err := s.Act(localkvs.Action{Do: "cut"}); n != 1 || err != nil {
		t.Fatalf("%d connections cut, %v", n, err)
	}
	eventually(t, "the channel has to wait for long", func() bool { return channel(a, "gate").RetryIn > 20 })
	wait := time.Duration(channel(a, "gate").RetryIn * float64(time.Second))
	s.SetFaults(localkvs.Faults{})
	began := time.Now()
	netnstest.IP(t, "addr add 192.0.2.1/24 dev lo")
	eventually(t, "the channel is connected", func() bool { return channel(a, "gate").State == "connected" })
	if took := time.Since(began); took > min(wait/2, 10*time.Second) {
		t.Errorf("connected %v after the change, and would have been after %v without", took, wait)
	}
}

// TestWithoutKVSTURN: with kvs_turn off the agent does not ask for TURN servers, which the service refuses here, and
// viewers are served.
func TestWithoutKVSTURN(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		more string
		asks bool
	}{{"", true}, {"webrtc: {kvs_turn: false}\n", false}} {
		s, log := service(t), &lines{}
		s.SetFaults(localkvs.Faults{Calls: localkvs.Refusal{Status: 403, Type: "AccessDeniedException",
			Calls: []string{"GetIceServerConfig"}}})
		startLogging(t, parse(t, s, tt.more+gate), slog.New(slog.NewTextHandler(log, nil)))
		join(t, s, "gate", "tablet").watch().plays(t, 5)
		if asked := log.with("no TURN servers for this viewer"); asked != tt.asks {
			t.Errorf("with %q: asked for TURN servers: %v", tt.more, asked)
		}
	}
}

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// What the agent may cost under attack, and what its other viewers may lose.
const (
	honestViewers = 10
	siegeMemory   = 64 << 10 // KiB
	siegeCores    = 0.5      // on average, with the ten viewers
	siegeLoss     = 0.001    // of all pictures
)

// TestHostileViewers: whatever viewers do at once or one after the other, the agent's memory stays bounded and those
// who just watch notice nothing.
func TestHostileViewers(t *testing.T) {
	if !rig.Inside(t, 4*time.Minute) {
		return
	}
	s := newSiege(t)
	listener, calls := s.lure(t)
	defer listener.Close()
	forbidden := countForbidden(t)
	before, busy := s.memory(t), s.busy(t)
	began := time.Now()
	t.Logf("before: %d KiB, %d sockets and files", before, s.files(t))
	for _, attack := range []struct {
		name string
		run  func(*testing.T, *siege)
		want string // in the reason why the session of a client with the attack's name ended; "" is none
	}{
		{"ssrcs", ssrcFlood, ""},
		{"media", unaskedMedia, ""},
		{"plis", pliFlood, "asked for key frames more than 500 times"},
		{"nacks", nackFlood, "more than 4000 rtcp packets"},
		{"greedy", greedyNACKs, ""},
		{"garbage", rtcpGarbage, ""},
		{"channels", channelFlood, "more than 4 data channels"},
		{"messages", messageFlood, "messages or"},
		{"deaf", deafViewer, ""},
		{"aims", aimedCandidates, ""},
		{"candidates", candidateFlood, ""},
		{"texts", oddTexts, ""},
		{"restarts", restartFlood, ""},
		{"offers", offerFlood, ""},
		{"junk", offPathJunk, ""},
	} {
		started, busy := time.Now(), s.busy(t)
		attack.run(t, s)
		if attack.want != "" {
			rig.Eventually(t, 15*time.Second, "the agent ends the session of "+attack.name, func() (bool, any) {
				lines := s.agent.Stderr.Lines(`msg="peer gone"`, "client="+attack.name)
				return len(lines) > 0 && strings.Contains(lines[0], attack.want), lines
			})
		}
		if s.agent.Over() {
			t.Fatalf("%s: the agent ended: %v", attack.name, s.agent.Cmd.ProcessState)
		}
		t.Logf("%-10s %4.1f s, %.2f s of processor time, memory at most %+d KiB",
			attack.name, time.Since(started).Seconds(), (s.busy(t) - busy).Seconds(), s.memory(t)-before)
	}
	if grown := s.memory(t) - before; grown > siegeMemory {
		t.Errorf("the agent's memory grew by %d KiB, want %d at most", grown, siegeMemory)
	}
	if cores := (s.busy(t) - busy).Seconds() / time.Since(began).Seconds(); cores > siegeCores {
		t.Errorf("the agent kept %.2f cores busy, want %.2f at most", cores, siegeCores)
	} else {
		t.Logf("in all: %.2f cores", cores)
	}
	s.checkHonest(t)
	s.checkLog(t, time.Since(began))
	s.checkReach(t, forbidden(), calls())
	t.Logf("after %v: %d sockets and files", time.Since(began).Round(time.Second), s.files(t))
}

package peer

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

const setupLimit = 20 * time.Second

// epoch is when the stories of these tests begin.
var epoch = time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return epoch.Add(d) }

// TestRecovery tells a connection's story step by step. What counts is the condition after it, when it ends, and what
// follows then.
func TestRecovery(t *testing.T) {
	one, two := activity{"a", 1}, activity{"a", 2}
	route := hostRoute{to: netip.MustParseAddr("192.0.2.1")}
	connect := func(r *recovery) { r.onConnected(route) }
	fail := func(d time.Duration) func(*recovery) { return func(r *recovery) { r.onFailed(at(d)) } }
	heal := func(d time.Duration) func(*recovery) {
		return func(r *recovery) {
			if r.mayHeal(at(d)) {
				r.heal(at(d), healingWait, one)
			}
		}
	}
	migrate := func(d, within time.Duration, why error) func(*recovery) {
		return func(r *recovery) { r.migrate(at(d), within, why, one) }
	}
	await := func(d time.Duration) func(*recovery) { return func(r *recovery) { r.awaitOffer(at(d)) } }
	restart := func(d time.Duration) func(*recovery) { return func(r *recovery) { r.onRestart(at(d)) } }
	described := func(d time.Duration, newICE bool) func(*recovery) {
		return func(r *recovery) { r.onDescription(at(d), newICE, setupLimit) }
	}
	lose := func(d time.Duration) func(*recovery) { return func(r *recovery) { r.onLost(at(d)) } }
	there := func(r *recovery) { r.onThere() }
	for _, x := range []struct {
		name     string
		story    []func(*recovery)
		want     condition
		deadline time.Duration // 0 is none
		activity activity
		direct   bool
		next     next
		why      error
	}{
		{"a new connection", nil, settingUp, setupLimit, one, false, endSetup, nil},
		{"one that has connected", []func(*recovery){connect}, steady, 0, one, false, carryOn, nil},

		{"ice fails", []func(*recovery){connect, fail(0)}, failed, failedGrace, one, false, endNow, errSilent},
		{"ice fails, and is said to have failed again", []func(*recovery){connect, fail(0), fail(time.Second)},
			failed, failedGrace, one, false, endNow, errSilent},
		{"ice fails, and the remote answers", []func(*recovery){connect, fail(0), described(time.Second, true)},
			failed, time.Second + setupLimit, one, false, endNow, errSilent},
		{"ice fails, and comes back", []func(*recovery){connect, fail(0), connect}, steady, 0, one, false,
			carryOn, nil},

		{"healing, and nothing is heard", []func(*recovery){connect, heal(time.Minute)},
			healing, time.Minute + healingWait, one, false, restartICE, nil},
		{"healing, and something is heard", []func(*recovery){connect, heal(time.Minute)},
			healing, time.Minute + healingWait, two, false, carryOn, nil},
		{"healing soon after a restart", []func(*recovery){connect, restart(time.Minute),
			heal(time.Minute + time.Second)},
			steady, 0, two, false, carryOn, nil},
		{"healing while ice has failed", []func(*recovery){connect, fail(0), heal(time.Second)},
			failed, failedGrace, one, false, endNow, errSilent},
		{"healing while the relay goes", []func(*recovery){connect, migrate(0, migrateDeadline, errNotMigrated),
			heal(0)},
			migrating, migrateDeadline, one, false, endNow, errNotMigrated},

		{"asked for an offer, and none comes", []func(*recovery){connect, await(0)}, awaitRestartOffer, restartWait,
			one, false, offerICE, nil},
		{"asked for an offer that comes", []func(*recovery){connect, await(0), described(time.Second, true)}, steady, 0,
			one, false, carryOn, nil},
		{"asked, and the remote says something else", []func(*recovery){connect, await(0), described(0, false)},
			awaitRestartOffer, restartWait, one, false, offerICE, nil},
		{"asked, and then ice fails", []func(*recovery){connect, await(0), fail(0)}, failed, failedGrace, one, false,
			endNow, errSilent},

		{"lost, and the remote does not answer", []func(*recovery){connect, lose(0)}, lost, lostWait, one, false,
			askAgain, nil},
		{"lost, and the remote is there", []func(*recovery){connect, lose(0), there}, lost, lostWait, one, false,
			restartICE, nil},
		{"lost, and it was there before", []func(*recovery){connect, lose(0), there, connect, lose(time.Minute)}, lost,
			time.Minute + lostWait, one, false, askAgain, nil},
		{"lost, restarted, and no answer to that", []func(*recovery){connect, lose(0), there, restart(lostWait)}, lost,
			lostWait, one, false, askAgain, nil},
		{"lost, and found", []func(*recovery){connect, lose(0), connect}, steady, 0, one, false, carryOn, nil},
		{"lost, and then ice fails", []func(*recovery){connect, lose(0), fail(25 * time.Second)}, failed,
			25*time.Second + failedGrace, one, false, endNow, errSilent},
		{"lost while the relay goes", []func(*recovery){connect, migrate(0, migrateDeadline, errNotMigrated), lose(0)},
			migrating, migrateDeadline, one, false, endNow, errNotMigrated},

		{"a relay goes, and the remote does nothing",
			[]func(*recovery){connect, migrate(0, migrateDeadline, errNotMigrated)},
			migrating, migrateDeadline, two, false, endNow, errNotMigrated},
		{"a relay goes, and the remote takes part",
			[]func(*recovery){connect, migrate(0, migrateDeadline, errNotMigrated), described(0, true)}, steady, 0, one,
			false, carryOn, nil},
		{"a relay goes, and the path is direct by then",
			[]func(*recovery){connect, migrate(0, migrateDeadline, errPassword)},
			migrating, migrateDeadline, one, true, carryOn, nil},
		{"a relay is lost with the network, and is heard again",
			[]func(*recovery){connect, migrate(0, rerouteDeadline, errRelayLost)},
			migrating, rerouteDeadline, two, false, carryOn, nil},
		{"a relay is lost with the network, and is not",
			[]func(*recovery){connect, migrate(0, rerouteDeadline, errRelayLost)},
			migrating, rerouteDeadline, one, false, endNow, errRelayLost},
		{"a relay goes, our offer is made, and pion says connected",
			[]func(*recovery){connect, migrate(0, migrateDeadline, errNotMigrated), restart(0), connect},
			migrating, migrateDeadline, one, false, endNow, errNotMigrated},
		{"a relay goes, then ice fails: the nearer end stands",
			[]func(*recovery){connect, migrate(0, migrateDeadline, errNotMigrated), fail(3 * time.Second)},
			failed, migrateDeadline, one, false, endNow, errNotMigrated},
		{"a relay goes before it was connected, and another is there",
			[]func(*recovery){migrate(time.Second, migrateDeadline, errNotMigrated), described(2*time.Second, true)},
			settingUp, setupLimit, one, false, endSetup, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			var r recovery
			r.begin(epoch, setupLimit)
			for _, step := range x.story {
				step(&r)
			}
			deadline := time.Time{}
			if x.deadline != 0 {
				deadline = at(x.deadline)
			}
			if r.condition != x.want || !r.deadline.Equal(deadline) {
				t.Errorf("condition %d until %v, want %d until %v", r.condition, r.deadline, x.want, deadline)
			}
			if x.deadline == 0 {
				return
			}
			if got := r.onDeadline(x.activity, x.direct); got != x.next || got == endNow && !errors.Is(r.why, x.why) {
				t.Errorf("at the deadline %d (%v), want %d (%v)", got, r.why, x.next, x.why)
			}
			if r.condition != x.want && !r.deadline.IsZero() && r.connected {
				t.Errorf("condition %d, and still a deadline: %v", r.condition, r.deadline)
			}
		})
	}
}

// TestLostForGood: a remote that answers and is never reached is given up in time.
func TestLostForGood(t *testing.T) {
	var r recovery
	r.begin(epoch, setupLimit)
	r.onConnected(hostRoute{})
	r.onLost(epoch)
	for asked := 0; ; asked++ {
		r.onThere()
		deadline := r.deadline
		if got := r.onDeadline(activity{}, false); got == endNow {
			if took := deadline.Sub(epoch); took > lostMost+lostEvery || asked < 10 || r.why != errSilent {
				t.Errorf("given up after %v and %d restarts: %v", took, asked, r.why)
			}
			return
		} else if got != restartICE || asked > 20 {
			t.Fatalf("%d at restart %d", got, asked)
		}
		r.onRestart(deadline)
	}
}

// TestSilenceAfterChange: a change of the network explains one silence, and only one that follows soon.
func TestSilenceAfterChange(t *testing.T) {
	var r recovery
	if r.onSilence(epoch) {
		t.Error("a silence without a change is put down to one")
	}
	r.changed = epoch
	if r.onSilence(at(changeLasts + 1)) {
		t.Error("a silence long after a change is put down to it")
	}
	if !r.onSilence(at(changeLasts)) || r.onSilence(at(changeLasts)) {
		t.Error("a silence after a change is put down to it once")
	}
}

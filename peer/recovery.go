package peer

import (
	"errors"
	"net/netip"
	"time"
)

// condition is what a connection waits for, or does without. It is in one condition at a time, and each has at most one
// deadline.
type condition int

const (
	settingUp         condition = iota // until media can flow for the first time
	steady                             // nothing is awaited
	healing                            // the direct path may be broken, and ICE may mend it without a restart
	awaitRestartOffer                  // the remote was asked over its data channel to offer a restart of ICE
	lost                               // nothing is heard, and the remote was asked over signaling whether it is there
	migrating                          // the relay is about to go, and the remote must take part in a restart of ICE
	failed                             // ICE has failed, and a restart of ICE is under way
)

const (
	failedGrace     = 5 * time.Second         // after ICE has failed, for the remote to take part in a restart
	restartWait     = time.Second             // for an offer that we have asked for over the data channel
	migrateDeadline = 5 * time.Second         // for the remote's part in a move to another relay
	rerouteDeadline = 15 * time.Second        // the same when signaling has to come back first
	healingWait     = 2500 * time.Millisecond // ICE asks and is answered once in this time, and half a second
	healingMedia    = time.Second             // the same for a connection that receives media
	changeLasts     = 30 * time.Second        // how long silence is put down to a change of the network
	lostWait        = 3 * time.Second         // from the loss of a path to a restart of ICE
	lostEvery       = 4 * time.Second         // between two such restarts, and two questions
	lostMost        = 50 * time.Second        // of them in a row
)

// Why a connection ends that may still have worked for a moment.
var (
	errNotMigrated = errors.New("the relay is about to shut down, and the remote took no part in a restart of ice")
	// KVS's end after 5 min.
	errPassword = errors.New("the relay no longer takes our password, and the remote took no part in a restart of " +
		"ice")
	errRelayLost = errors.New("this host's network changed, the relay does not know it any more, " +
		"and the remote took no part in a restart of ice")
	errSilent = errors.New("ice failed: nothing heard from the remote for half a minute")
)

// recovery decides when a connection restarts ICE and when it gives up. It touches no connection and no clock: Conn
// tells it what has happened, carries out what it says, and wakes it at its deadline.
type recovery struct {
	condition condition
	deadline  time.Time // when the condition ends; zero is never
	why       error     // why the connection ends then, if it does
	setupBy   time.Time // the deadline of settingUp, for when a move in between is over
	activity  activity  // what had come when the condition began

	connected bool      // at some time
	restarted time.Time // when ICE was last restarted by an offer of ours
	lostAt    time.Time // when the path was lost that is being looked for
	there     bool      // the remote has answered since it was last asked
	changed   time.Time // when the host's network last changed; zero is never, or dealt with
	route     hostRoute // how packets left when media last could flow
}

// activity is how much has come on which path: answers to our checks, and media where we receive it. Anything else may
// come from a remote that no longer hears us.
type activity struct {
	path string
	n    uint64
}

// hostRoute is how packets leave this host for a remote.
type hostRoute struct {
	relay      bool
	to, source netip.Addr // the remote, and our own address on the way there
}

// next is what a connection does at a deadline.
type next int

const (
	carryOn    next = iota
	endSetup        // end: the connection did not come about
	endNow          // end with recovery.why
	restartICE      // by whoever made the first offer
	offerICE        // restart ICE by an offer of ours
	askAgain        // whether the remote is there
)

func (r *recovery) begin(now time.Time, within time.Duration) {
	r.setupBy = now.Add(within)
	r.settle()
}

// settle goes back to waiting for nothing, or for the connection to come about.
func (r *recovery) settle() {
	r.condition, r.deadline, r.why = steady, time.Time{}, nil
	if !r.connected {
		r.condition, r.deadline = settingUp, r.setupBy
	}
}

func (r *recovery) enter(c condition, deadline time.Time, why error) {
	r.condition, r.deadline, r.why = c, deadline, why
}

// onConnected notes that media can flow. A move that is under way goes on: the old path still works.
func (r *recovery) onConnected(route hostRoute) {
	r.connected, r.route = true, route
	if r.condition == settingUp || r.condition == failed || r.condition == lost {
		r.settle()
	}
}

// onFailed notes that ICE has failed, and reports whether that is news.
func (r *recovery) onFailed(now time.Time) (news bool) {
	if r.condition == failed {
		return false
	}
	deadline, why := now.Add(failedGrace), errSilent
	if r.condition == migrating && r.deadline.Before(deadline) {
		deadline, why = r.deadline, r.why
	}
	r.enter(failed, deadline, why)
	return true
}

// onDescription notes that the remote has described itself, with new ICE credentials or with those of before. A
// connection that has failed has as long as a new one to come back.
func (r *recovery) onDescription(now time.Time, newICE bool, setup time.Duration) {
	switch {
	case r.condition == failed:
		r.enter(failed, now.Add(setup), errSilent)
	case newICE && (r.condition == migrating || r.condition == awaitRestartOffer):
		r.settle()
	}
}

// migrate waits for the remote's part in a restart of ICE. Without that the connection ends with why.
func (r *recovery) migrate(now time.Time, within time.Duration, why error, a activity) {
	r.activity = a
	if r.condition != failed {
		r.enter(migrating, now.Add(within), why)
	}
}

// awaitOffer waits for the offer that the remote was asked for.
func (r *recovery) awaitOffer(now time.Time) {
	if r.condition == steady || r.condition == healing {
		r.enter(awaitRestartOffer, now.Add(restartWait), nil)
	}
}

// mayHeal says whether a path that may be broken is given time before ICE is restarted. An answer to a restart brings
// addresses, too.
func (r *recovery) mayHeal(now time.Time) bool {
	return (r.condition == steady || r.condition == healing) && now.Sub(r.restarted) >= changeLasts
}

func (r *recovery) heal(now time.Time, wait time.Duration, a activity) {
	r.activity = a
	r.enter(healing, now.Add(wait), nil)
}

// onLost notes that the path is lost, and reports whether the remote is to be asked whether it is there. That gives
// nothing up: the path may still heal.
func (r *recovery) onLost(now time.Time) bool {
	if r.condition != steady && r.condition != healing {
		return false
	}
	r.lostAt, r.there = now, false
	r.enter(lost, now.Add(lostWait), nil)
	return true
}

// onThere notes that the remote has answered our question.
func (r *recovery) onThere() { r.there = true }

// onRestart notes that we have offered a restart of ICE.
func (r *recovery) onRestart(now time.Time) {
	r.restarted = now
	switch r.condition {
	case awaitRestartOffer, healing:
		r.settle()
	case lost:
		r.there = false
	}
}

// onSilence says whether a change of the network may be why the remote is no longer heard. It says so once for each
// change.
func (r *recovery) onSilence(now time.Time) bool {
	recent := !r.changed.IsZero() && now.Sub(r.changed) <= changeLasts
	if recent {
		r.changed = time.Time{}
	}
	return recent
}

// onDeadline says what follows when the deadline has come. a is what has come by now; direct is whether the connection
// stands without a relay.
func (r *recovery) onDeadline(a activity, direct bool) next {
	ended, why, heardMore := r.condition, r.why, a != r.activity
	if ended == settingUp {
		return endSetup
	}
	if ended == failed {
		return endNow
	}
	if ended == lost {
		return r.onStillLost()
	}
	r.settle()
	switch ended {
	case healing:
		if !heardMore {
			return restartICE
		}
	case awaitRestartOffer:
		return offerICE
	case migrating:
		if direct || why == errRelayLost && heardMore {
			break // it came back without
		}
		r.why = why
		return endNow
	}
	return carryOn
}

// onStillLost says what follows when a lost path has not come back. A restart of ICE gives it up, and needs a remote
// that answers; one that does is given a new path again and again, since a relay that was away may be back.
func (r *recovery) onStillLost() next {
	now := r.deadline
	if now.Sub(r.lostAt) >= lostMost {
		r.why = errSilent
		return endNow
	}
	r.deadline = now.Add(lostEvery)
	if r.there {
		return restartICE
	}
	return askAgain
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/kvsagent/kvsagent/status"
	"golang.org/x/sys/unix"
)

// manager reports to systemd (sd_notify). Without systemd it only watches.
type manager struct {
	log    *slog.Logger
	report func() status.Report
	stuck  func(now time.Time) []status.Stuck
	unread func(time.Time) time.Duration // for how long nobody has read the log; may be nil

	last    atomic.Pointer[[]status.Stuck] // as of the last look
	looking *look                          // one that has not ended; owned by run
}

const (
	lookEvery  = 5 * time.Second
	lookWithin = 2 * time.Second
)

// run reports ready once the agent is running, and then, as often as the watchdog requires, that all its loops go on.
// When one is stuck that a restart mends, systemd is told which, and no longer that we are alive: it kills the process
// and starts it again.
func (m *manager) run(ctx context.Context, running <-chan struct{}) error {
	defer m.tell(daemon.SdNotifyStopping)
	select {
	case <-ctx.Done():
		return nil
	case <-running:
	}
	m.ready()
	every := lookEvery
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err == nil && watchdog > 0 {
		every = min(every, watchdog/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			line, goesOn := m.look()
			if goesOn {
				line = daemon.SdNotifyWatchdog + "\n" + line
			}
			m.tell(line)
		}
	}
}

// look is one look at the agent. It takes the agent's locks, so it is waited for no longer than it should take.
type look struct {
	began  time.Time
	stuck  chan []status.Stuck
	report chan status.Report
}

// look returns the line for systemctl status, and whether all loops go on that a restart would mend.
func (m *manager) look() (line string, goesOn bool) {
	l := m.looking
	if l == nil {
		l = &look{time.Now(), make(chan []status.Stuck, 1), make(chan status.Report, 1)}
		go func() { // nobody can wait for it: it is stuck when the agent is
			now := time.Now()
			l.stuck <- append(m.stuck(now), m.unreadLog(now)...)
			l.report <- m.report()
		}()
	}
	m.looking = l
	timer := time.NewTimer(lookWithin)
	defer timer.Stop()
	var all []status.Stuck
	line = "STATUS="
	select {
	case all = <-l.stuck:
		select {
		case r := <-l.report:
			m.looking = nil
			line += summary(r)
		case <-timer.C:
			l.stuck <- all // for the next look at this one
			all = append(slices.Clone(all),
				status.Stuck{Loop: "report", Seconds: time.Since(l.began).Seconds(), Fatal: true})
		}
	case <-timer.C:
		all = []status.Stuck{{Loop: "agent", Seconds: time.Since(l.began).Seconds(), Fatal: true}}
	}
	m.note(all)
	goesOn = true
	for _, s := range all {
		line += stuckText(s)
		goesOn = goesOn && !s.Fatal
	}
	return strings.Replace(line, "=; ", "=", 1), goesOn
}

// note keeps who is stuck for the page, and logs it once.
func (m *manager) note(all []status.Stuck) {
	was := map[string]bool{}
	for _, s := range m.now() {
		was[s.Loop] = true
	}
	m.last.Store(&all)
	for _, s := range all {
		if !was[s.Loop] {
			m.log.Error("a loop of the agent is stuck", "loop", s.Loop, "for_s", int(s.Seconds), "restart", s.Fatal)
		}
		delete(was, s.Loop)
	}
	for loop := range was {
		m.log.Info("a loop of the agent goes on", "loop", loop)
	}
}

// now is who was stuck at the last look.
func (m *manager) now() []status.Stuck {
	if all := m.last.Load(); all != nil {
		return *all
	}
	return nil
}

// ready also ends a reload. It does not wait for KVS: a camera that boots without a network must not be restarted for
// that.
func (m *manager) ready() { m.tell(daemon.SdNotifyReady + "\n" + m.status()) }

// status returns the line for systemctl status.
func (m *manager) status() string {
	line := "STATUS=" + summary(m.report())
	for _, s := range m.unreadLog(time.Now()) {
		line += stuckText(s)
	}
	return line
}

func stuckText(s status.Stuck) string {
	return fmt.Sprintf("; stuck: %s for %.0f s", s.Loop, s.Seconds)
}

// unreadLog names the log when nobody reads it. That is no reason to end: pictures go on, and a restart would not mend
// who reads.
func (m *manager) unreadLog(now time.Time) []status.Stuck {
	if m.unread == nil {
		return nil
	}
	d := m.unread(now)
	if d <= logPatience {
		return nil
	}
	return []status.Stuck{{Loop: "log, which nobody reads,", Seconds: d.Seconds()}}
}

// logPatience is how long a line may wait for who reads the log before that is worth a word.
const logPatience = 10 * time.Second

// reloading sends what systemd.service(5) requires of a service that reloads: the state and the time.
func (m *manager) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	}
}

func (m *manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("systemd not told", "err", err)
	}
}

// summary returns one line for systemctl status.
func summary(r status.Report) string {
	connected, displaced, viewers := 0, 0, 0
	for _, c := range r.Channels {
		if c.State == "connected" {
			connected++
		}
		if c.State == "displaced" {
			displaced++
		}
		viewers += len(c.Peers)
	}
	line := fmt.Sprintf("%d of %d channels connected, %d viewers", connected, len(r.Channels), viewers)
	if displaced > 0 {
		line += fmt.Sprintf("; another master has taken %d", displaced)
	}
	if r.Reload != nil && len(r.Reload.Hash) > 12 {
		line += fmt.Sprintf("; config %s since %s", r.Reload.Hash[:12], r.Reload.Success.Format(time.DateTime))
	}
	if r.SafeMode != "" {
		line = "safe mode: " + r.SafeMode + "; " + line
	}
	if r.Reload != nil && !r.Reload.OK {
		line += fmt.Sprintf("; reload at %s failed: %q", r.Reload.At.Format(time.TimeOnly), r.Reload.Error)
	}
	return line
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/kvsagent/kvsagent/status"
	"golang.org/x/sys/unix"
)

// manager reports to systemd (sd_notify). Without systemd it does nothing.
type manager struct {
	log    *slog.Logger
	report func() status.Report
	stuck  func(time.Time) time.Duration // for how long nobody has read the log; may be nil
}

// run reports ready once the agent is running, and then, as often as the watchdog requires, that the agent is alive.
// Each time the agent must first return its whole report, which takes every lock. So a stuck agent is killed and
// restarted.
func (m *manager) run(ctx context.Context, running <-chan struct{}) error {
	defer m.tell(daemon.SdNotifyStopping)
	select {
	case <-ctx.Done():
		return nil
	case <-running:
	}
	m.ready()
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.tell(daemon.SdNotifyWatchdog + "\n" + m.status())
		}
	}
}

// ready also ends a reload. It does not wait for KVS: a camera that boots without a network must not be restarted for
// that.
func (m *manager) ready() { m.tell(daemon.SdNotifyReady + "\n" + m.status()) }

// status returns the line for systemctl status.
func (m *manager) status() string {
	line := "STATUS=" + summary(m.report())
	if m.stuck == nil {
		return line
	}
	if waits := m.stuck(time.Now()); waits > logPatience { // no reason to end: pictures go on
		line += fmt.Sprintf("; nobody has read the log for %v", waits.Round(time.Second))
	}
	return line
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
	connected, viewers := 0, 0
	for _, c := range r.Channels {
		if c.State == "connected" {
			connected++
		}
		viewers += len(c.Peers)
	}
	line := fmt.Sprintf("%d of %d channels connected, %d viewers", connected, len(r.Channels), viewers)
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

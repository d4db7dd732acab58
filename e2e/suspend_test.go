package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestFrozenMaster stops the master's process for a minute under five viewers, as a hypervisor does. They have a
// picture again within 5 s of its waking.
func TestFrozenMaster(t *testing.T) {
	t.Parallel()
	url := rig.StartService(t).URL()
	master := rig.StartAgent(t, rig.Environment(rig.Keys...), url, "", `
sources: {pattern: {url: "testpattern:?size=320x240&rate=15&gop=1s"}}
channels: {frozen: {source: pattern, create: true}}
`)
	master.Connected(t, "frozen")
	const viewers = 5
	frames := watching(t, url, viewers, func(int) string { return "frozen" }).frames
	rig.Eventually(t, 60*time.Second, "five viewers have a picture", func() (bool, any) {
		f := frames()
		return len(f) == viewers, f
	})
	master.Signal(syscall.SIGSTOP)
	time.Sleep(time.Minute)
	before := frames()
	woke := time.Now()
	master.Signal(syscall.SIGCONT)
	rig.Eventually(t, 5*time.Second, "five viewers have new pictures", func() (bool, any) {
		now, fresh := frames(), 0
		for session, n := range now {
			if n > before[session] {
				fresh++
			}
		}
		return fresh >= viewers, fmt.Sprint(before, " then ", now)
	})
	t.Logf("all have new pictures %v after the master woke", time.Since(woke).Round(10*time.Millisecond))
}

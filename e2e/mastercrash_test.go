package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestMasterCrash kills the master without a goodbye under five viewers, and starts it again 3 s later, as systemd
// does. All five have a picture again within 8 s of that, and offer by themselves.
func TestMasterCrash(t *testing.T) {
	t.Parallel()
	address := rig.FreeAddress(t)
	service := rig.Start(t, rig.Environment(), rig.Binary, "localkvs", "--listen", address)
	service.Find(t, &service.Stdout, 10*time.Second, `http://127\.0\.0\.1:\d+`)
	url := "http://" + address
	serve := func() *rig.Agent {
		a := rig.StartAgent(t, rig.Environment(rig.Keys...), url, "", `
sources: {pattern: {url: "testpattern:?size=320x240&rate=15&gop=1s"}}
channels: {crash: {source: pattern, create: true}}
`)
		a.Connected(t, "crash")
		return a
	}
	master := serve()
	const viewers = 5
	audience := watching(t, url, viewers, func(int) string { return "crash" })
	pictures := func(limit time.Duration, before map[string]string) map[string]string {
		sessions := map[string]string{}
		rig.Eventually(t, limit, "five viewers have a picture", func() (bool, any) {
			r, err := audience.Report()
			if err != nil {
				return false, err
			}
			for _, c := range r.Channels {
				for _, p := range c.Peers {
					if p.Session != before[c.Name] && pictured(p) {
						sessions[c.Name] = p.Session
					}
				}
			}
			return len(sessions) == viewers, sessions
		})
		return sessions
	}
	sessions := pictures(60*time.Second, nil) // the service lets three viewers a second in
	for round := range 3 {
		time.Sleep(2 * time.Second) // of pictures, as usual
		crash := time.Now()
		master.Signal(syscall.SIGKILL)
		<-master.Ended
		time.Sleep(3 * time.Second) // RestartSec of the unit
		back := time.Now()
		master = serve()
		sessions = pictures(8*time.Second-time.Since(back), sessions)
		t.Logf("round %d: all have a picture %v after the crash, %v after the start", round+1,
			time.Since(crash).Round(10*time.Millisecond), time.Since(back).Round(10*time.Millisecond))
	}
}

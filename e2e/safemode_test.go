package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/status"
)

// faultyBinary builds the agent with the faults of agent/crashtest.go.
func faultyBinary(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kvsagent")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "crashtest", "-o", file,
		"../cmd/kvsagent").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// TestSafeMode has a viewer whose every offer ends the process (a build for tests has the fault), beside a viewer of
// another channel. The agent starts again each time, as under systemd; after some crashes it takes the bad viewer's
// offers no more, says so, and the honest viewer has its picture.
func TestSafeMode(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	dir := t.TempDir()
	binary := faultyBinary(t)
	address := rig.FreeAddress(t)
	file := rig.WriteFile(t, "kvsagent.yaml", fmt.Sprintf("aws: {region: %s, endpoint: %q}\nstatus: {listen: %q}\n"+`
sources: {pattern: {url: "testpattern:?size=320x240&rate=15", sub: "testpattern:?size=320x180&rate=5"}}
channels: {crash: {source: pattern, create: true}, gate: {source: pattern, create: true}}
`, rig.Region, service.URL, address))
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	t.Cleanup(func() { cancel(); work.Wait() })
	var starts atomic.Int32
	work.Go(func() { // what systemd does
		for ctx.Err() == nil {
			starts.Add(1)
			cmd := exec.CommandContext(ctx, binary, "run", "-c", file)
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			cmd.Env = append(rig.Environment(rig.Keys...), "STATE_DIRECTORY="+dir)
			_ = cmd.Run()
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
	report := func() (r status.Report, err error) {
		resp, err := http.Get("http://" + address + "/api/v1/report")
		if err != nil {
			return r, err
		}
		defer resp.Body.Close()
		return r, json.NewDecoder(resp.Body).Decode(&r)
	}
	rig.Eventually(t, 20*time.Second, "the agent is connected", func() (bool, any) {
		r, err := report()
		return err == nil && len(r.Channels) == 2 && r.Channels[1].State == "connected", err
	})
	view := func(channel string) (agent.View, error) {
		cfg, err := config.Parse("view", fmt.Appendf(nil, `
aws: {region: %s, endpoint: %q, credentials: {access_key_id: localkvs, secret_access_key: localkvs}}
channels: {view: {role: viewer}}
`, rig.Region, service.URL), os.LookupEnv)
		if err != nil {
			return agent.View{}, err
		}
		within, stop := context.WithTimeout(ctx, 15*time.Second)
		defer stop()
		return agent.RunView(within, cfg, agent.ViewOptions{Channel: channel, ClientID: "viewer",
			Duration: 3 * time.Second})
	}
	work.Go(func() {
		for ctx.Err() == nil {
			_, _ = view("crash")
		}
	})
	rig.Eventually(t, 90*time.Second, "safe mode", func() (bool, any) {
		r, err := report()
		return err == nil && r.SafeMode != "", starts.Load()
	})
	rig.Eventually(t, 60*time.Second, "the bad viewer's offers are taken no more", func() (bool, any) {
		before := starts.Load()
		time.Sleep(5 * time.Second)
		return before > 4 && starts.Load() == before, before // the fifth knows whose offer ended the fourth
	})
	v, err := view("gate")
	if err != nil || v.Video == nil || v.Video.Frames < 15 {
		t.Errorf("the honest viewer has %+v, %v", v.Video, err)
	}
	r, err := report()
	if err != nil || !strings.Contains(r.SafeMode, "crashed") {
		t.Fatalf("the report has %q, %v", r.SafeMode, err)
	}
	for _, s := range r.Sources {
		if s.Sub != nil {
			t.Error("the smaller stream runs in safe mode")
		}
	}
	t.Logf("the process was started %d times", starts.Load())
}

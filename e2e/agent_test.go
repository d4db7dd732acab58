package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/status"
)

// agent is kvsagent run.
type agent struct {
	*process
	statusURL string
}

// startAgent runs the daemon with what config says under sources and channels, against the service at endpoint. With TLS, ca is the
// file to trust.
func startAgent(t *testing.T, env []string, endpoint, ca, config string) *agent {
	t.Helper()
	address := freeAddress(t)
	if ca != "" {
		ca = ", ca_file: " + ca
	}
	text := fmt.Sprintf("aws: {region: %s, endpoint: %q%s}\nstatus: {listen: %q}\n%s", region, endpoint, ca, address, config)
	a := &agent{process: start(t, env, binary, "run", "-c", writeFile(t, "kvsagent.yaml", text)), statusURL: "http://" + address}
	eventually(t, 10*time.Second, "the agent answers at "+a.statusURL, func() (bool, any) {
		if a.over() {
			t.Fatalf("the agent ended: %v", a.cmd.ProcessState)
		}
		_, err := a.report()
		return err == nil, err
	})
	return a
}

// report is how the agent sees itself.
func (a *agent) report() (r status.Report, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(a.statusURL + "/api/v1/report")
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("report: %s", resp.Status)
	}
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// channel is its report on one channel, empty when it has none of that name.
func (a *agent) channel(t *testing.T, name string) status.Channel {
	t.Helper()
	r, err := a.report()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Channels {
		if c.Name == name {
			return c
		}
	}
	return status.Channel{}
}

// connected waits until the channel's signaling is open, and returns its ARN.
func (a *agent) connected(t *testing.T, name string) string {
	t.Helper()
	var c status.Channel
	eventually(t, 15*time.Second, "channel "+name+" is connected", func() (bool, any) {
		c = a.channel(t, name)
		return c.State == "connected" && c.ARN != "", c
	})
	return c.ARN
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

package rig

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/status"
)

// Agent is kvsagent run.
type Agent struct {
	*Process
	StatusURL string
}

// StartAgent runs the daemon with what config says under sources and channels, against the service at endpoint. With
// TLS, ca is the file to trust.
func StartAgent(t testing.TB, env []string, endpoint, ca, config string) *Agent {
	t.Helper()
	return StartAgentUnder(t, nil, env, endpoint, ca, config)
}

// StartAgentUnder is StartAgent with a program, and its arguments, that runs the daemon.
func StartAgentUnder(t testing.TB, under, env []string, endpoint, ca, config string) *Agent {
	t.Helper()
	address := FreeAddress(t)
	if ca != "" {
		ca = ", ca_file: " + ca
	}
	text := fmt.Sprintf("aws: {region: %s, endpoint: %q%s}\nstatus: {listen: %q}\n%s", Region, endpoint, ca, address,
		config)
	line := append(slices.Clone(under), Binary, "run", "-c", WriteFile(t, "kvsagent.yaml", text))
	a := &Agent{Process: Start(t, env, line[0], line[1:]...), StatusURL: "http://" + address}
	Eventually(t, 10*time.Second, "the agent answers at "+a.StatusURL, func() (bool, any) {
		if a.Over() {
			t.Fatalf("the agent ended: %v", a.Cmd.ProcessState)
		}
		_, err := a.Report()
		return err == nil, err
	})
	return a
}

// Report is how the agent sees itself.
func (a *Agent) Report() (r status.Report, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(a.StatusURL + "/api/v1/report")
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("report: %s", resp.Status)
	}
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// Channel is its report on one channel, empty when it has none of that name.
func (a *Agent) Channel(t testing.TB, name string) status.Channel {
	t.Helper()
	r, err := a.Report()
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

// Connected waits until the channel's signaling is open, and returns its ARN.
func (a *Agent) Connected(t testing.TB, name string) string {
	t.Helper()
	var c status.Channel
	Eventually(t, 15*time.Second, "channel "+name+" is connected", func() (bool, any) {
		c = a.Channel(t, name)
		return c.State == "connected" && c.ARN != "", c
	})
	return c.ARN
}

// Sending is what the agent says of the video that it sends to a client.
func (a *Agent) Sending(t testing.TB, channel, client string) (s status.Track) {
	t.Helper()
	for _, p := range a.Channel(t, channel).Peers {
		if p.ClientID == client && len(p.Sending) > 0 {
			return p.Sending[0]
		}
	}
	return s
}

// HasKeyFrame waits until the source has one that a newcomer can begin with.
func (a *Agent) HasKeyFrame(t testing.TB, source string) {
	t.Helper()
	Eventually(t, 10*time.Second, "a key frame of "+source, func() (bool, any) {
		r, err := a.Report()
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(r.Sources, func(s status.Source) bool { return s.Name == source })
		s := r.Sources[i]
		return len(s.Tracks) > 0 && s.Tracks[0].KeyFrames > 0, s
	})
}

// Says waits for a line of the log that has all the words in it, and fails the test when there are many of them: what
// lasts is told, not repeated.
func (a *Agent) Says(t testing.TB, words ...string) {
	t.Helper()
	var lines []string
	Eventually(t, 15*time.Second, fmt.Sprintf("the log has a line with %q", words), func() (bool, any) {
		lines = a.Stderr.Lines(words...)
		return len(lines) > 0, "no such line"
	})
	if len(lines) > 5 {
		t.Errorf("%d lines with %q, want few:\n%s", len(lines), words, strings.Join(lines, "\n"))
	}
}

// SignalChildren sends a signal to the processes that the agent has started, by their name.
func (a *Agent) SignalChildren(t testing.TB, name string, s syscall.Signal) {
	t.Helper()
	for _, pid := range children(t, a.Cmd.Process.Pid) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(comm)) == name {
			_ = syscall.Kill(pid, s)
		}
	}
}

// children are the processes that a process has started, by all its threads.
func children(t testing.TB, pid int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f) // a thread may have ended
		for _, field := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
	}
	return pids
}

// Direct fails the test unless the media of all viewers of a channel goes straight into the socket. A browser for which
// it does not has changed its handshake, and costs several times as much processor time.
func (a *Agent) Direct(t testing.TB, channel string) {
	t.Helper()
	peers := a.Channel(t, channel).Peers
	for _, p := range peers {
		if !p.Direct {
			t.Errorf("the media of %s goes through Pion", p.ClientID)
		}
	}
	if len(peers) == 0 {
		t.Errorf("%s has no viewers", channel)
	}
}

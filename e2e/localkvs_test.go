package e2e

import (
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestLocalkvsFlags: names in the certificate, endpoints of their own for roles, and channels that outlive the process.
func TestLocalkvsFlags(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state.json")
	service := rig.StartKVS(t, "--tls-name", "kvs.test", "--tls-name", "192.0.2.1", "--named-endpoints",
		"--state-file", state)
	address := strings.TrimPrefix(service.TLSURL, "https://")
	for name, want := range map[string]bool{"kvs.test": true, "192.0.2.1": true, "v-1.localhost": true,
		"kvs.example": false} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool(t, service.CA), ServerName: name})
		if (err == nil) != want {
			t.Errorf("certificate for %s: %v, want it to be good: %v", name, err, want)
		}
		if err == nil {
			conn.Close()
		}
	}
	arn := rig.CreateChannel(t, service.URL, "kept")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for role, prefix := range map[types.ChannelRole]string{types.ChannelRoleMaster: "wss://m-",
		types.ChannelRoleViewer: "wss://v-"} {
		if got := rig.Endpoint(t, service.TLSURL, service.CA, arn, role); !strings.HasPrefix(got, prefix) ||
			!strings.HasSuffix(got, ".localhost:"+port) {
			t.Errorf("endpoint of %s = %s, want %s….localhost:%s", role, got, prefix, port)
		}
	}
	service.Stop()
	again := rig.StartKVS(t, "--state-file", state)
	if got := rig.FindChannel(t, again.URL, "kept"); got != arn {
		t.Errorf("after a restart the ARN is %s, want %s", got, arn)
	}
}

// TestFaultScript: a service that was told to be ill is, and gets well.
func TestFaultScript(t *testing.T) {
	t.Parallel()
	script := rig.WriteFile(t, "faults.json", `[{"after": "1ms", "set": {"calls": {"status": 503, "times": 2}}}]`)
	service := rig.StartKVS(t, "--faults", script)
	rig.Eventually(t, 5*time.Second, "the fault", func() (bool, any) {
		resp, err := http.Post(service.URL+"/listSignalingChannels", "application/json", strings.NewReader("{}"))
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable, resp.Status
	})
	rig.Eventually(t, 30*time.Second, "its end", func() (bool, any) {
		resp, err := http.Post(service.URL+"/listSignalingChannels", "application/json", strings.NewReader("{}"))
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusForbidden, resp.Status // it is not signed
	})
	bad := rig.WriteFile(t, "bad.json", `[{"do": [{"do": "explode"}]}]`)
	if _, errs, code := rig.Run(t, 10*time.Second, rig.Environment(), rig.Binary, "localkvs", "--listen", "127.0.0.1:0",
		"--faults", bad); code != 2 || !strings.Contains(errs, "explode") {
		t.Errorf("bad script: exit %d: %s", code, errs)
	}
}

// TestServiceRestarts: a service that is killed and started again costs a master and a viewer a reconnect: the channel
// is there, pictures do not stop, and a new viewer finds the master.
func TestServiceRestarts(t *testing.T) {
	t.Parallel()
	flags := []string{"--listen", rig.FreeAddress(t), "--turn-listen", rig.FreeAddress(t), "--state-file",
		filepath.Join(t.TempDir(), "state.json")}
	service := rig.StartKVS(t, flags...)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "",
		"sources: {pattern: {url: \"testpattern:\"}}\nchannels: {again: {source: pattern, create: true}}\n")
	arn := agent.Connected(t, "again")
	watch := func(id string) *rig.Page {
		return rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: id}.Join(t, "offer")
	}
	first := watch("v1")
	first.Moves(20)

	service.Signal(syscall.SIGKILL)
	<-service.Ended
	rig.Eventually(t, 10*time.Second, "the agent misses the service", func() (bool, any) {
		c := agent.Channel(t, "again")
		return c.State != "connected", c.State
	})
	service = rig.StartKVS(t, flags...)
	first.Moves(20)
	if got := agent.Connected(t, "again"); got != arn {
		t.Errorf("the channel is %s after the restart, want %s", got, arn)
	}
	watch("v2").Moves(20)
	if got := first.Stats().Connections; len(got) != 1 || got[0] != "connected" {
		t.Errorf("connections of the first viewer = %v, want the one that it had", got)
	}
}

// TestLocalkvsPage watches the service's page in Chromium: channels, connections and messages appear on it by
// themselves.
func TestLocalkvsPage(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	p := rig.OpenPage(t, service.URL+"/localkvs/")
	shows := func(text string, want bool) {
		t.Helper()
		rig.Eventually(t, 10*time.Second, "the page shows "+text, func() (bool, any) {
			var found bool
			p.Call(&found, "find", text, true, false, true) // window.find: case matters, forward, from the top again
			return found == want, found
		})
	}
	shows("No channels yet", true)
	arn := rig.CreateChannel(t, service.URL, "on-the-page")
	shows(arn, true)
	viewer := rig.DialRaw(t, service.URL, arn, "v-17")
	shows("viewer v-17 from", true)
	viewer.Message("SDP_OFFER", `{"type":"offer","sdp":"v=0"}`)
	shows("SDP_OFFER", true)
	viewer.Message("PING", "hello")
	shows("InvalidArgumentException", true)
	viewer.Conn.Close()
	shows("viewer v-17 from", false)
}

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestRefusedPageIsTold: a page that is one too many sees its media rejected, and reads why over the data channel that
// it has opened.
func TestRefusedPageIsTold(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", `
sources: {pattern: {url: "testpattern:"}}
channels: {full: {source: pattern, create: true, max_viewers: 1}}
`)
	page := rig.SDK{ARN: agent.Connected(t, "full"), Endpoint: service.URL, Role: types.ChannelRoleViewer,
		ClientID: "first"}
	page.Join(t, "offer").Moves(15)
	for _, b := range []*rig.Browser{&rig.Chromium, &rig.Firefox} {
		t.Run(b.Name, func(t *testing.T) {
			second := page
			second.ClientID, second.Data, second.Browser = "second-"+b.Name, true, b
			p := second.Join(t, "offer")
			rig.Eventually(t, 15*time.Second, "the reason has come", func() (bool, any) {
				var told []string
				p.Call(&told, "told")
				return len(told) == 1 &&
					strings.HasPrefix(told[0], `{"action":"REFUSED","reason":"viewer-limit: `), told
			})
			var got []string
			p.Call(&got, "directions")
			for _, direction := range got { // Chromium forgets them
				if direction != "stopped" && direction != "inactive" { // one carries the data channel
					t.Errorf("sections of media are %v, want none that goes on", got)
				}
			}
		})
	}
}

// TestRefusalUnderEachPolicy: a browser takes a refusal whatever its policy of bundling is, with a data channel and
// without.
func TestRefusalUnderEachPolicy(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", `
sources: {pattern: {url: "testpattern:"}}
channels: {policy: {source: pattern, create: true, max_viewers: 1}}
`)
	page := rig.SDK{ARN: agent.Connected(t, "policy"), Endpoint: service.URL, Role: types.ChannelRoleViewer,
		ClientID: "first"}
	page.Join(t, "offer").Moves(15)
	for _, b := range []*rig.Browser{&rig.Chromium, &rig.Firefox} {
		for _, policy := range []string{"max-bundle", "balanced", "max-compat"} {
			for _, data := range []bool{true, false} {
				if !data && policy != "max-bundle" {
					continue // which insists on most
				}
				second := page
				second.ClientID, second.Browser, second.Policy, second.Data = "second", b, policy, data
				p := second.Join(t, "offer")
				rig.Eventually(t, 15*time.Second, "the answer is taken", func() (bool, any) {
					var got []string
					p.Call(&got, "answered")
					if len(got) == 1 && got[0] != "taken" {
						t.Errorf("%s, %s, data %v: %s", b.Name, policy, data, got[0])
					}
					return len(got) == 1, got
				})
			}
		}
	}
}

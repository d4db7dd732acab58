package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// TestRefusedPageIsTold: a page that is one too many sees its media rejected, and reads why over the data channel that it has opened.
func TestRefusedPageIsTold(t *testing.T) {
	service := startKVS(t)
	agent := startAgent(t, environment(keys...), service.URL, "", `
sources: {pattern: {url: "testpattern:"}}
channels: {full: {source: pattern, create: true, max_viewers: 1}}
`)
	page := sdk{arn: agent.connected(t, "full"), endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "first"}
	page.join(t, "offer").moves(15)
	for _, b := range []*browser{&chromium, &firefox} {
		t.Run(b.name, func(t *testing.T) {
			second := page
			second.clientID, second.data, second.browser = "second-"+b.name, true, b
			p := second.join(t, "offer")
			eventually(t, 15*time.Second, "the reason has come", func() (bool, any) {
				var told []string
				p.call(&told, "told")
				return len(told) == 1 && strings.HasPrefix(told[0], `{"action":"REFUSED","reason":"1 viewers are connected`), told
			})
			var got []string
			p.call(&got, "directions")
			for _, direction := range got { // Chromium forgets them
				if direction != "stopped" {
					t.Errorf("sections of media are %v, want none that goes on", got)
				}
			}
		})
	}
}

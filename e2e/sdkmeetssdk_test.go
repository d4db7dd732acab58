package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestSDKMeetsSDK has nothing of ours but localkvs in it: what works for two official SDKs must work for us.
func TestSDKMeetsSDK(t *testing.T) {
	service := rig.StartKVS(t)
	for _, tt := range []struct{ name, url string }{
		{"over TLS", service.TLSURL},
		{"without TLS", service.URL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			arn := rig.CreateChannel(t, service.URL, strings.ReplaceAll(tt.name, " ", "-"))
			rig.SDK{ARN: arn, Endpoint: tt.url, CA: service.CA, Role: types.ChannelRoleMaster, Send: true}.Join(t,
				"answer")
			viewer := rig.SDK{ARN: arn, Endpoint: tt.url, CA: service.CA, Role: types.ChannelRoleViewer,
				ClientID: "v1"}.Join(t, "offer")
			viewer.Plays(20, 320, 240, "audio/opus")
		})
	}
}

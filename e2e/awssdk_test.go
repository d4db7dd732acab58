package e2e

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestAWSSDKForJavaScript has nothing of ours but localkvs in it: AWS's clients of the three services, and the official
// KVS WebRTC SDK as master and as viewer, all in Node and over TLS. What they do, and what they must see, is in
// browser/aws-sdk.mjs.
func TestAWSSDKForJavaScript(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t, "--storage-dir", t.TempDir())
	if out := service.Node(t, "aws-sdk.mjs", service.TLSURL, "js"); !strings.Contains(out, "\ndone\n") {
		t.Errorf("node aws-sdk.mjs did not come to its end:\n%s", out)
	}
}

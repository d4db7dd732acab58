package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// awsCLI runs Debian's aws with the keys of localkvs, and returns its standard output. ca is the CA to trust, or nothing.
func awsCLI(t *testing.T, ca string, args ...string) string {
	t.Helper()
	env := environment(keys...)
	if ca != "" {
		env = append(env, "AWS_CA_BUNDLE="+ca)
	}
	out, errs, code := run(t, time.Minute, env, "/usr/bin/aws", append(args, "--output", "json")...)
	if code != 0 {
		t.Fatalf("aws %s: exit %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// TestAWSCLI walks a channel through its life with AWS's own tool.
func TestAWSCLI(t *testing.T) {
	service := startKVS(t)
	for _, tt := range []struct{ name, url, ca string }{
		{"http", service.URL, ""},
		{"https", service.TLSURL, service.CA},
	} {
		t.Run(tt.name, func(t *testing.T) {
			aws := func(out any, args ...string) {
				t.Helper()
				text := awsCLI(t, tt.ca, append([]string{"kinesisvideo", "--endpoint-url", tt.url}, args...)...)
				if out == nil {
					return
				}
				if err := json.Unmarshal([]byte(text), out); err != nil {
					t.Fatalf("aws %s: %v in %q", args[0], err, text)
				}
			}
			name := "cli-" + tt.name
			var created struct{ ChannelARN string }
			aws(&created, "create-signaling-channel", "--channel-name", name)
			if !strings.HasPrefix(created.ChannelARN, "arn:aws:kinesisvideo:"+region+":") || !strings.Contains(created.ChannelARN, ":channel/"+name+"/") {
				t.Errorf("ChannelARN = %q", created.ChannelARN)
			}
			var described struct {
				ChannelInfo struct{ ChannelName, ChannelARN, ChannelStatus, ChannelType, Version string }
			}
			aws(&described, "describe-signaling-channel", "--channel-name", name)
			info := described.ChannelInfo
			if info.ChannelName != name || info.ChannelARN != created.ChannelARN || info.ChannelStatus != "ACTIVE" || info.ChannelType != "SINGLE_MASTER" {
				t.Errorf("describe = %+v", info)
			}
			list := func() (names []string) {
				var listed struct {
					ChannelInfoList []struct{ ChannelName string }
				}
				aws(&listed, "list-signaling-channels", "--channel-name-condition", "ComparisonOperator=BEGINS_WITH,ComparisonValue="+name)
				for _, c := range listed.ChannelInfoList {
					names = append(names, c.ChannelName)
				}
				return names
			}
			if got := list(); len(got) != 1 || got[0] != name {
				t.Errorf("list = %v, want [%s]", got, name)
			}
			aws(nil, "delete-signaling-channel", "--channel-arn", info.ChannelARN, "--current-version", info.Version)
			if got := list(); len(got) != 0 {
				t.Errorf("list after delete = %v, want none", got)
			}
			_, errs, code := run(t, time.Minute, append(environment(keys...), "AWS_CA_BUNDLE="+tt.ca), "/usr/bin/aws",
				"kinesisvideo", "--endpoint-url", tt.url, "describe-signaling-channel", "--channel-name", name)
			if code == 0 || !strings.Contains(errs, "ResourceNotFoundException") {
				t.Errorf("describe after delete: exit %d, %q; want ResourceNotFoundException", code, errs)
			}
		})
	}
}

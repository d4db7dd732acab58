package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestAWSCLI walks a channel through its life with AWS's own tool.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	for _, tt := range []struct{ name, url, ca string }{
		{"http", service.URL, ""},
		{"https", service.TLSURL, service.CA},
	} {
		t.Run(tt.name, func(t *testing.T) {
			aws := func(out any, args ...string) {
				t.Helper()
				text := rig.AWSCLI(t, tt.ca, append([]string{"kinesisvideo", "--endpoint-url", tt.url}, args...)...)
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
			if !strings.HasPrefix(created.ChannelARN, "arn:aws:kinesisvideo:"+rig.Region+":") ||
				!strings.Contains(created.ChannelARN, ":channel/"+name+"/") {
				t.Errorf("ChannelARN = %q", created.ChannelARN)
			}
			var described struct {
				ChannelInfo struct{ ChannelName, ChannelARN, ChannelStatus, ChannelType, Version string }
			}
			aws(&described, "describe-signaling-channel", "--channel-name", name)
			info := described.ChannelInfo
			if info.ChannelName != name || info.ChannelARN != created.ChannelARN || info.ChannelStatus != "ACTIVE" ||
				info.ChannelType != "SINGLE_MASTER" {
				t.Errorf("describe = %+v", info)
			}
			list := func() (names []string) {
				var listed struct {
					ChannelInfoList []struct{ ChannelName string }
				}
				aws(&listed, "list-signaling-channels", "--channel-name-condition",
					"ComparisonOperator=BEGINS_WITH,ComparisonValue="+name)
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
			_, errs, code := rig.Run(t, time.Minute, append(rig.Environment(rig.Keys...), "AWS_CA_BUNDLE="+tt.ca),
				"/usr/bin/aws",
				"kinesisvideo", "--endpoint-url", tt.url, "describe-signaling-channel", "--channel-name", name)
			if code == 0 || !strings.Contains(errs, "ResourceNotFoundException") {
				t.Errorf("describe after delete: exit %d, %q; want ResourceNotFoundException", code, errs)
			}
		})
	}
}

// TestCLIICEServers asks for TURN servers with AWS's own tool.
func TestCLIICEServers(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	arn := rig.CreateChannel(t, service.URL, "ice")
	var got struct {
		IceServerList []struct {
			Uris               []string
			Username, Password string
			Ttl                int
		}
	}
	service.Cli(t, &got, "kinesis-video-signaling", "get-ice-server-config", "--channel-arn", arn, "--client-id", "v1",
		"--service", "TURN")
	if len(got.IceServerList) == 0 {
		t.Fatal("no servers")
	}
	for _, s := range got.IceServerList {
		if s.Ttl != 300 || s.Username == "" || s.Password == "" || len(s.Uris) == 0 ||
			!strings.HasPrefix(s.Uris[0], "turn") {
			t.Errorf("server = %+v", s)
		}
	}
	service.CliRefused(t, "ResourceNotFoundException", "kinesis-video-signaling", "get-ice-server-config",
		"--channel-arn", strings.Replace(arn, "/ice/", "/none/", 1))
}

// TestAWSEnvironment: what every AWS tool takes from its environment is enough to find a service that is not AWS, and
// to trust it.
func TestAWSEnvironment(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "",
		"sources: {pattern: {url: testpattern}}\nchannels: {env: {source: pattern, create: true}}\n")
	agent.Connected(t, "env")
	env := rig.Environment(append(rig.Keys, "AWS_ENDPOINT_URL_KINESIS_VIDEO="+service.TLSURL,
		"AWS_CA_BUNDLE="+service.CA)...)
	out, errs, code := rig.Run(t, 30*time.Second, env, rig.Binary, "view", "env", "--duration", "1s", "-o", "json")
	var got rig.Watched
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Video.Frames == 0 {
		t.Errorf("exit %d, %v\n%s\n%s", code, err, out, errs)
	}
}

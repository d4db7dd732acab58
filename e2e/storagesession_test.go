package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestStorageSession: the official SDK in Chromium is the master of a channel with storage, the AWS CLI sets it up and
// joins the session, localkvs records, and ffprobe judges the file. A second page joins as a viewer, with the AWS SDK,
// and plays the master.
func TestStorageSession(t *testing.T) {
	recordings := t.TempDir()
	service := rig.StartKVS(t, "--storage-dir", recordings)

	var created struct{ ChannelARN string }
	service.Cli(t, &created, "kinesisvideo", "create-signaling-channel", "--channel-name", "stored", "--tags",
		"Key=place,Value=gate")
	arn := created.ChannelARN
	service.Cli(t, nil, "kinesisvideo", "tag-resource", "--resource-arn", arn, "--tags", "Key=floor,Value=2")
	var tags struct{ Tags map[string]string }
	if service.Cli(t, &tags, "kinesisvideo", "list-tags-for-resource", "--resource-arn",
		arn); tags.Tags["place"] != "gate" || tags.Tags["floor"] != "2" {
		t.Errorf("tags = %v", tags.Tags)
	}
	service.Cli(t, nil, "kinesisvideo", "update-media-storage-configuration", "--channel-arn", arn,
		"--media-storage-configuration", "Status=ENABLED,StreamARN="+strings.Replace(arn, ":channel/", ":stream/", 1))
	var endpoints struct {
		ResourceEndpointList []struct{ Protocol, ResourceEndpoint string }
	}
	service.Cli(t, &endpoints, "kinesisvideo", "get-signaling-channel-endpoint", "--channel-arn", arn,
		"--single-master-channel-endpoint-configuration", "Protocols=WSS,HTTPS,WEBRTC,Role=MASTER")
	if len(endpoints.ResourceEndpointList) != 3 {
		t.Errorf("endpoints = %v, want three", endpoints)
	}
	// nobody is connected
	service.CliRefused(t, "InvalidArgumentException", "kinesis-video-webrtc-storage", "join-storage-session",
		"--channel-arn", arn)

	rig.SDK{ARN: arn, Endpoint: service.TLSURL, CA: service.CA, Role: types.ChannelRoleMaster, Send: true}.Join(t,
		"answer")
	service.Cli(t, nil, "kinesis-video-webrtc-storage", "join-storage-session", "--channel-arn", arn)
	var file string
	rig.Eventually(t, 20*time.Second, "a recording", func() (bool, any) {
		found, err := filepath.Glob(filepath.Join(recordings, "stored-*.mp4"))
		if err != nil || len(found) == 0 {
			return false, err
		}
		info, err := os.Stat(found[0])
		file = found[0]
		return err == nil && info.Size() > 20_000, info
	})

	viewer := rig.SDK{ARN: arn, Endpoint: service.TLSURL, CA: service.CA, Role: types.ChannelRoleViewer,
		ClientID: "v1"}.Join(t, "answer")
	service.Node(t, "join.mjs", service.TLSURL, arn, "v1")
	viewer.Plays(20, 320, 240, "audio/opus")

	service.Stop()
	var probed struct {
		Streams []struct {
			Codec         string `json:"codec_name"`
			Width, Height int
			Packets       string `json:"nb_read_packets"`
		}
	}
	out, errs, code := rig.Run(t, 20*time.Second, rig.Environment(), "/usr/bin/ffprobe", "-v", "error",
		"-count_packets", "-show_streams", "-of", "json", file)
	if err := json.Unmarshal([]byte(out), &probed); err != nil || code != 0 || errs != "" {
		t.Fatalf("ffprobe: exit %d, %v: %s", code, err, errs)
	}
	packets := map[string]int{}
	for _, s := range probed.Streams {
		packets[s.Codec], _ = strconv.Atoi(s.Packets)
		if s.Codec == "h264" && (s.Width != 320 || s.Height != 240) {
			t.Errorf("the recording is %dx%d, want 320x240", s.Width, s.Height)
		}
	}
	if packets["h264"] < 20 || packets["opus"] < 40 {
		t.Errorf("recorded packets: %v, want 20 of h264 and 40 of opus, or more", packets)
	}
}

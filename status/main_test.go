package status_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/status"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update when that is meant); got:\n%s", file, got)
	}
}

// house returns a report with something of everything.
func house() status.Report {
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	video := status.Track{Codec: "H264", Width: 1280, Height: 720, Frames: 2500, KeyFrames: 50, Bytes: 20e6, FPS: 25,
		Bitrate: 1.6e6}
	audio := status.Track{Codec: "opus", Frames: 5000, Bytes: 4e5, Bitrate: 32e3}
	slow := status.Track{Codec: "H264", Width: 1280, Height: 720, Frames: 2000, Bitrate: 0.8e6, Lost: 4, Dropped: 40}
	var first status.Histogram
	for _, seconds := range []float64{.004, .005, .12, .9, 30} {
		first.Observe(seconds)
	}
	return status.Report{
		Version: "v1.2.3", Started: now.Add(-100 * time.Second), Now: now, Unsent: 9, Panics: 1, WrongLogins: 4,
		Stuck: []status.Stuck{{Loop: "source gate", Seconds: 25, Fatal: true}},
		Reload: &status.Reload{At: now, Error: "kvsagent.yaml:3: unknown key", Hash: strings.Repeat("ab", 32),
			Success: now.Add(-100 * time.Second)},
		FirstFrames: map[status.Stage]status.Histogram{status.StageFrame: first, status.StageAnswer: {}},
		Sources: []status.Source{
			{
				Name: "gate", URL: "rtsp://192.0.2.1/live", State: "running", Restarts: 2,
				Tracks: []status.Track{video, audio}, Watchers: 2,
				Notes: []string{"no sound: browsers do not take AAC; hint: set audio: transcode"},
			},
			{Name: "yard", URL: "rtsp://192.0.2.2/live", State: "failed", Error: "connection refused"},
		},
		Channels: []status.Channel{
			{
				Name: "front-gate", KVSName: "front-gate", Role: "master", State: "connected",
				Since:    now.Add(-time.Minute),
				Connects: 3, Received: 20, Sent: 18, Refused: 1, Ignored: 2, Source: "gate", MaxViewers: 10,
				Peers: []status.Peer{
					{
						ClientID: "phone-of-anna", Session: "a1", State: "connected", Offerer: "them",
						Since: now.Add(-50 * time.Second),
						Local: "host", Remote: "prflx", RTT: .002, Jitter: 3, Level: "sub", Estimate: 900_000,
						Behind: 40, Sending: []status.Track{video, audio},
						FirstFrame: status.Stages{Offer: 1, Answer: 20, ICE: 60, Connected: 90, Packet: 95, Frame: 120},
					},
					{
						ClientID: "phone-of-ben", Session: "a2", State: "connected", Offerer: "us",
						Since: now.Add(-40 * time.Second),
						Local: "relay", Remote: "srflx", RTT: .08, Jitter: 12, Sending: []status.Track{slow},
						FirstFrame: status.Stages{Frame: 900},
					},
					{ClientID: "tv", Session: "a3", State: "connecting", Offerer: "them", Since: now.Add(-time.Second)},
				},
				Ended: []status.Ended{{ClientID: "tv", Session: "a0", At: now.Add(-30 * time.Second), Seconds: 12.5,
					Reason: "closed"}},
				EndedBy: map[string]uint64{"closed": 4, "failed": 1},
			},
			{
				Name: "back-yard", KVSName: "prod-back-yard", Role: "master", State: "waiting",
				Error:   "channel does not exist",
				RetryIn: 7.5, Source: "yard",
			},
			{
				Name: "tower", KVSName: "tower", Role: "viewer", State: "connected", Since: now.Add(-time.Minute),
				Connects: 1,
				Peers: []status.Peer{{
					Session: "b1", State: "connected", Offerer: "us", Since: now.Add(-time.Minute), Local: "host",
					Remote: "host",
					Receiving: []status.Track{{Codec: "VP8", Width: 640, Height: 480, Frames: 900, Bitrate: 512e3,
						Lost: 7}},
				}},
			},
		},
	}
}

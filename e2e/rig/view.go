package rig

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// Watched is what view -o json prints.
type Watched struct {
	Connected    bool    `json:"connected"`
	FirstFrameMS float64 `json:"first_frame_ms"`
	Video        struct {
		Codec     string `json:"codec"`
		Frames    int    `json:"frames"`
		KeyFrames int    `json:"key_frames"`
		Width     int    `json:"width"`
		Height    int    `json:"height"`
	} `json:"video"`
	Audio struct {
		Codec   string `json:"codec"`
		Packets int    `json:"packets"`
	} `json:"audio"`
	Bytes int64 `json:"bytes"`
}

// View runs kvsagent view with the keys of localkvs in the environment and nothing else, and returns what it prints.
func View(t testing.TB, args ...string) (got Watched) {
	t.Helper()
	began := time.Now()
	Run(t, 30*time.Second, Environment(), Binary, "version")
	soon := max(4*time.Second, 40*time.Since(began)) // on a machine that takes 0.1 s and more to start a program
	env := Environment("AWS_ACCESS_KEY_ID=localkvs", "AWS_SECRET_ACCESS_KEY=localkvs")
	out, errs, code := Run(t, 30*time.Second, env, Binary, args...)
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("%v: exit %d, %v\n%s\n%s", args, code, err, out, errs)
	}
	if !got.Connected || got.FirstFrameMS <= 0 || got.FirstFrameMS > Millis(soon) ||
		!strings.EqualFold(got.Video.Codec, "H264") || got.Video.Frames == 0 ||
		got.Video.Width == 0 || got.Video.Height == 0 || !strings.EqualFold(got.Audio.Codec, "opus") ||
		got.Audio.Packets == 0 {
		t.Errorf("%v = %+v, want H.264 and Opus, and the first frame soon", args, got)
	}
	return got
}

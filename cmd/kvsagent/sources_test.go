package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
)

// The output of discover is config: with a channel it loads, and its first stream is the source.
func TestPrintedCamerasLoad(t *testing.T) {
	password := filepath.Join(t.TempDir(), "cameras.password")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cameras := []agent.Camera{
		{Name: "front-door", Title: "Front \"door\"", Model: "XC", Host: "192.0.2.10",
			Address: "http://192.0.2.10:8000/onvif/device_service?x=$1", Streams: []agent.CameraStream{
				{Profile: "Main: a # b", Codec: "H264", Width: 1920, Height: 1080, FPS: 25, Audio: "AAC",
					URL: "rtsp://192.0.2.10/s?x=1&y=${HOME}"},
				{Profile: "Sub", Codec: "H265", URL: "rtsp://192.0.2.10/2"},
			}},
		{Name: "yard", Host: "2001:db8::1", Address: "http://[2001:db8::1]/onvif/device_service",
			Streams: []agent.CameraStream{
				{Profile: "Main", Codec: "H264", URL: "rtsp://[2001:db8::1]/main"},
			}},
		{Name: "locked", Host: "fe80::1", Address: "http://[fe80::1]/onvif/device_service",
			Error: "onvif: user and password refused"},
	}
	var out strings.Builder
	if err := printCameras(&out, cameras, "viewer", password); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("printed",
		[]byte(out.String()+"aws: {region: eu-central-1}\nchannels:\n  gate: {source: front-door}\n"), os.LookupEnv)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	s := cfg.Sources["front-door"]
	if len(cfg.Sources) != 2 || s.URL != cameras[0].Streams[0].URL || s.Username != "viewer" ||
		s.Password != "sesame" || s.Audio != config.AudioTranscode {
		t.Errorf("%+v\n%s", s, out.String())
	}
	for _, c := range cameras[:2] { // for key frame requests, with the login of the stream
		if got := cfg.Sources[c.Name]; got.ONVIF != c.Address || got.Username != "viewer" {
			t.Errorf("%s: onvif %q for %q, want %q for viewer", c.Name, got.ONVIF, got.Username, c.Address)
		}
	}
	if err := agent.CheckSources(cfg); err != nil {
		t.Error(err)
	}
	if strings.Contains(out.String(), "sesame") {
		t.Errorf("the password is shown:\n%s", out.String())
	}
}

// A URL on the command line is used unchanged, and its mistakes are reported like those in a file.
func TestProbeConfig(t *testing.T) {
	cfg, name, err := probeConfig("", `exec:sh -c "echo $HOME"`, nil, false)
	if err != nil || cfg.Sources[name].URL != `exec:sh -c "echo $HOME"` {
		t.Errorf("%v, %+v", err, cfg)
	}
	cfg, name, err = probeConfig("", "rtsp://viewer:sesame@192.0.2.1/x", map[string]string{"transport": "udp"}, true)
	if err != nil || cfg.Sources[name].Transport != "udp" || !cfg.Sources[name].BasicAuth ||
		cfg.Sources[name].Username != "viewer" {
		t.Errorf("%v, %+v", err, cfg)
	}
	if _, _, err = probeConfig("", "rtsp://192.0.2.1/x", map[string]string{"transport": "pigeon"}, false); err == nil ||
		!strings.Contains(err.Error(), "pigeon") {
		t.Errorf("%v", err)
	}
}

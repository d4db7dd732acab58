package kvsagent_test

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kvsagent/kvsagent"

// rooms says which of our own rooms each room may import. A name that ends in /* stands for every room below it.
// Each entry names a room that exists.
var rooms = map[string][]string{
	"cmd/kvsagent": {"agent", "config", "localkvs", "localkvs/storage", "status", "internal/redact"},
	"agent": {
		"config", "credentials", "signaling", "peer", "peer/fanout", "media", "media/*", "status", "internal/*",
	},
	"config":      {"internal/redact"}, // which passwords a URL holds
	"credentials": {},
	// Not signaling: they are two independent readings of the wire, so that agreement is evidence.
	"localkvs":         {},
	"localkvs/storage": {"localkvs"}, // nor peer, for the same reason
	"media":            {"internal/*"},
	"media/*":          {"media", "media/internal/*", "internal/*"}, // never each other
	// media/pipe runs its ffmpeg: one room starts and ends all commands.
	"media/snapshot":          {"media", "media/pipe"},
	"media/internal/*":        {"media", "media/internal/*", "internal/*"},
	"peer":                    {"peer/fanout", "peer/internal/*", "media", "internal/*"},
	"peer/fanout":             {"peer/internal/wire", "peer/internal/contain", "media", "internal/*"},
	"peer/internal/transport": {"peer/internal/wire", "peer/internal/sdp", "peer/internal/contain", "internal/*"},
	"peer/internal/receive":   {"peer/internal/wire", "peer/internal/sdp", "media"},
	"peer/internal/sdp":       {"media"},
	"peer/internal/wire":      {"internal/*"},
	"peer/internal/contain":   {},
	"signaling":               {"internal/*"},
	"status":                  {"internal/fault"},
	"internal/*":              {},
	"systemd":                 {},
	"bench":                   {"*"},
	"bench/*":                 {"*"},
	"e2e":                     {"*"}, // by its tests only: the binary and the exported API
	"e2e/rig":                 {"*"},
	"e2e/impair":              {},
}

// libraries says which rooms may import a library. Other libraries are free. So are rooms that may import all of ours:
// they are not part of the product.
var libraries = map[string][]string{
	"github.com/pion/webrtc": {
		"peer", "peer/fanout", "peer/internal/receive", "peer/internal/transport", "localkvs/storage",
	},
	"github.com/pion/interceptor":         {"peer/fanout", "peer/internal/receive", "localkvs/storage"},
	"github.com/pion/turn":                {"localkvs"},
	"github.com/gorilla/websocket":        {"signaling", "localkvs"},
	"github.com/bluenviron/gortsplib":     {"media/rtsp", "media/rtpin", "media/internal/depacket"},
	"github.com/aws/aws-sdk-go-v2":        {"credentials", "signaling"},
	"github.com/prometheus/client_golang": {"status"},
	"github.com/spf13/cobra":              {"cmd/kvsagent"},
	"github.com/invopop/jsonschema":       {"config"},
	"gopkg.in/yaml.v3":                    {"config"},
	// It calls methods by name, so the linker cannot leave out unused ones: 4.7 MB.
	"text/template": {},
	"os/exec":       {"media/pipe", "internal/netnstest"},
}

// match finds the entry that speaks for name: its own, or that of the longest prefix that ends in /*.
func match(name string, has func(string) bool) (string, bool) {
	if has(name) {
		return name, true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if has(dir + "/*") {
			return dir + "/*", true
		}
	}
	return "*", has("*")
}

func TestArrows(t *testing.T) {
	for room := range rooms {
		if _, err := os.Stat(strings.TrimSuffix(room, "/*")); err != nil {
			t.Errorf("rooms names %s, which does not exist", room)
		}
	}
	for dir, files := range sources(t) {
		room, known := match(dir, func(s string) bool { _, ok := rooms[s]; return ok })
		if !known {
			t.Errorf("%s: a room that nobody decided on; add it to rooms, with what it may import", dir)
			continue
		}
		for name, file := range files {
			for _, spec := range file.Imports {
				imported := strings.Trim(spec.Path.Value, `"`)
				own, ours := strings.CutPrefix(imported, module+"/")
				if _, ok := match(own, func(s string) bool { return slices.Contains(rooms[room], s) }); ours && !ok {
					t.Errorf("%s: %s must not import %s", name, room, own)
				}
				for library, may := range libraries {
					if (imported == library || strings.HasPrefix(imported, library+"/")) &&
						!slices.Contains(may, dir) && !slices.Contains(rooms[room], "*") {
						t.Errorf("%s: only %v may import %s", name, may, library)
					}
				}
			}
		}
	}
}

package kvsagent_test

import (
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kvsagent/kvsagent"

// rooms says which of our own rooms each room may import. A name that ends in /* stands for every room below it.
var rooms = map[string][]string{
	"cmd/kvsagent": {"agent", "config", "localkvs", "localkvs/storage", "status", "doctor"},
	"agent":        {"config", "credentials", "signaling", "peer", "media", "media/*", "status", "internal/*"},
	"config":       {},
	"credentials":  {},
	"doctor":       {"config", "credentials", "signaling", "media", "media/*"},
	// Not signaling: two independent readings of the wire, so that agreement is evidence.
	"localkvs":         {},
	"localkvs/storage": {"localkvs"}, // nor peer, for the same reason
	"media":            {"internal/*"},
	"media/*":          {"media", "media/internal/*", "internal/*"}, // never each other
	// Which runs its ffmpeg: commands are run, and ended, in one room.
	"media/snapshot":    {"media", "media/pipe"},
	"media/internal/*":  {"media", "media/internal/*", "internal/*"},
	"peer":              {"media", "internal/*", "peer/internal/sdp"},
	"peer/internal/sdp": {"media"},
	"signaling":         {"internal/*"},
	"status":            {},
	"internal/*":        {},
	"systemd":           {},
	"packaging":         {},
	"bench":             {"*"},
	"bench/*":           {"*"},
	"e2e":               {"*"}, // by its tests only: the binary and the exported API
	"e2e/rig":           {"*"},
	"e2e/impair":        {},
}

// libraries says which rooms may import a library. Libraries that are not named here are free, and so are rooms that
// may import all of ours: they are no part of the product.
var libraries = map[string][]string{
	"github.com/pion/webrtc":              {"peer", "localkvs/storage"},
	"github.com/pion/interceptor":         {"peer", "localkvs/storage"},
	"github.com/pion/turn":                {"localkvs"},
	"github.com/gorilla/websocket":        {"signaling", "localkvs"},
	"github.com/bluenviron/gortsplib":     {"media/rtsp", "media/rtpin", "media/internal/depacket"},
	"github.com/aws/aws-sdk-go-v2":        {"credentials", "signaling"},
	"github.com/prometheus/client_golang": {"status"},
	"github.com/spf13/cobra":              {"cmd/kvsagent"},
	"github.com/invopop/jsonschema":       {"config"},
	"gopkg.in/yaml.v3":                    {"config"},
	// Calls methods by name, which keeps the linker from leaving out what nobody calls: 4.7 MB.
	"text/template": {},
	"os/exec":       {"media/pipe"},
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

package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestExitCodes: 0 is fine, 2 is a command line that nobody understands, 78 (EX_CONFIG of sysexits.h) a file with
// mistakes.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	good := rig.WriteFile(t, "good.yaml",
		"sources: {test: {url: \"testpattern:\"}}\nchannels: {front: {source: test}}\naws: {region: eu-central-1}\n")
	bad := rig.WriteFile(t, "bad.yaml",
		"sources: {test: {url: \"tesspattern:\"}}\nchannels:\n  front: {source: tset, role: mastr}\naws: {region: "+
			"eu-central-1}\nchanels: {}\n")
	for _, tt := range []struct {
		name string
		args []string
		want int
	}{
		{"version", []string{"version"}, 0},
		{"schema", []string{"schema"}, 0},
		{"help", []string{"--help"}, 0},
		{"good config", []string{"validate", "-c", good}, 0},
		{"bad config", []string{"validate", "-c", bad}, 78},
		{"bad config, run", []string{"run", "-c", bad}, 78},
		{"no config", []string{"validate", "-c", "/nonexistent.yaml"}, 78},
		{"unknown flag", []string{"run", "--colour"}, 2},
		{"unknown command", []string{"rum"}, 2},
		{"view of nothing", []string{"view"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, code := rig.Run(t, 10*time.Second, rig.Environment(), rig.Binary, tt.args...)
			if code != tt.want {
				t.Errorf("exit %d, want %d\n%s%s", code, tt.want, out, errs)
			}
			if tt.want != 0 && strings.TrimSpace(errs) == "" {
				t.Error("nothing on standard error says why")
			}
		})
	}
}

// TestValidateTellsAll: every mistake in one run, each with its place and a hint.
func TestValidateTellsAll(t *testing.T) {
	t.Parallel()
	file := rig.WriteFile(t, "bad.yaml", `aws: {region: eu-central-1}
sources:
  gate: {url: "http://192.0.2.1/"}
channels:
  front: {source: gaet}
  back: {source: gate, role: mastr}
colour: red
`)
	out, errs, code := rig.Run(t, 10*time.Second, rig.Environment(), rig.Binary, "validate", "-c", file)
	if code != 78 {
		t.Errorf("exit %d, want 78", code)
	}
	for _, want := range []string{`:3: sources\.gate\.url: .*; `, `:5: channels\.front\.source: .*gaet.*; `,
		`:6: channels\.back\.role: .*mastr.*; `, `:7: colour: `} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(file) + want).MatchString(out + errs) {
			t.Errorf("no line matches FILE%s\n%s%s", want, out, errs)
		}
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	out, _, _ := rig.Run(t, 10*time.Second, rig.Environment(), rig.Binary, "schema")
	var schema struct {
		Schema     string `json:"$schema"`
		Properties map[string]any
	}
	if err := json.Unmarshal([]byte(out), &schema); err != nil {
		t.Fatalf("schema: %v in %q", err, out)
	}
	if schema.Schema == "" || schema.Properties["channels"] == nil || schema.Properties["sources"] == nil {
		t.Errorf("schema = %+v, want $schema and the properties of the file", schema)
	}
}

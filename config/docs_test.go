package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/kvsagent/kvsagent/config"
)

// schema returns the output of config.Schema, parsed like an editor does.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	s := new(jsonschema.Schema)
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A key is one line of the manual.
type key struct {
	path     string // sources.NAME.url
	schema   *jsonschema.Schema
	required bool
}

// keys returns all keys below s, in the order of the config's types; NAME stands for names that the operator chooses.
func keys(s *jsonschema.Schema, path string) []key {
	var all []key
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		k := key{strings.TrimPrefix(path+"."+p.Key, "."), p.Value, slices.Contains(s.Required, p.Key)}
		all = append(all, k)
		switch {
		case p.Value.Properties != nil:
			all = append(all, keys(p.Value, k.path)...)
		case p.Value.AdditionalProperties != nil && k.section():
			all = append(all, keys(p.Value.AdditionalProperties, k.path+".NAME")...)
		case p.Value.Items != nil:
			all = append(all, keys(p.Value.Items, k.path+"[]")...)
		}
	}
	return all
}

// section reports whether a key has keys of its own.
func (k key) section() bool {
	words := k.schema.AdditionalProperties != nil && k.schema.AdditionalProperties.Type == "string"
	return k.schema.Type == "object" && !words || k.schema.Type == "array" && k.schema.Items.Properties != nil
}

// values describes the allowed values.
func values(s *jsonschema.Schema) string {
	switch {
	case len(s.AnyOf) > 0 && s.AnyOf[0].Type == "array":
		return "list of " + values(s.AnyOf[0].Items) + "s"
	case len(s.AnyOf) > 0:
		return values(s.AnyOf[0])
	case s.Type == "object":
		return "names and texts"
	case s.Enum != nil:
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(s.Enum), "[]"), " ", ", ")
	case s.Type == "integer":
		return fmt.Sprintf("%s to %s", s.Minimum, s.Maximum)
	case s.Type == "boolean":
		return "true, false"
	case strings.Contains(s.Pattern, "ms"):
		return "duration"
	}
	return "text"
}

// manual is docs/config.md.
func manual(s *jsonschema.Schema) string {
	var b strings.Builder
	b.WriteString("<!-- Made by go test ./config -run TestDocs -update from the comments in config/config.go. " +
		"-->\n\n# kvsagent.yaml\n\n")
	b.WriteString(strings.Replace(s.Description, "Config is", "This is", 1) + "\n\n")
	b.WriteString("The smallest file for one camera:\n\n```yaml\naws: {region: eu-central-1}\nsources:\n  gate: " +
		"{url: \"rtsp://192.0.2.10:554/stream1\", username: viewer, password_file: gate.password}\nchannels:\n  " +
		"front-gate: {source: gate}\n```\n\n")
	b.WriteString("[systemd/kvsagent.yaml](../systemd/kvsagent.yaml) shows every key in its place.\n")
	table := false
	for _, k := range keys(s, "") {
		if k.section() {
			path := k.path
			if k.schema.AdditionalProperties != nil && k.schema.Properties == nil {
				path += ".NAME"
			}
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", path, k.schema.Description)
			if k.required {
				b.WriteString("\nRequired.\n")
			}
			table = false
			continue
		}
		if !table {
			b.WriteString("\n| key | value | default | what it is |\n|---|---|---|---|\n")
			table = true
		}
		def := ""
		if k.schema.Default != nil {
			def = fmt.Sprintf("`%v`", k.schema.Default)
		} else if k.required {
			def = "required"
		}
		what := k.schema.Description
		if len(k.schema.Examples) > 0 {
			what += " Such as"
			for i, e := range k.schema.Examples {
				what += strings.Repeat(",", min(i, 1)) + fmt.Sprintf(" `%v`", e)
			}
			what += "."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.path[strings.LastIndexByte(k.path, '.')+1:], values(k.schema),
			def, strings.ReplaceAll(what, "|", `\|`))
	}
	return b.String()
}

// A stale docs/config.md fails here; go test ./config -run TestDocs -update renews it.
func TestDocs(t *testing.T) {
	const path = "../docs/config.md"
	got := manual(schema(t))
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is stale: go test ./config -run TestDocs -update", path)
	}
}

// Each key has a description, and each limit in Go is in the schema.
func TestSchema(t *testing.T) {
	found := make(map[string]*jsonschema.Schema)
	for _, k := range keys(schema(t), "") {
		found[k.path] = k.schema
		if !strings.HasSuffix(k.schema.Description, ".") {
			t.Errorf("%s: description %q, want sentences", k.path, k.schema.Description)
		}
	}
	if len(found) < 50 {
		t.Fatalf("%d keys", len(found))
	}
	if got := fmt.Sprint(found["channels.NAME.role"].AnyOf[0].Enum); got != "[master viewer]" {
		t.Errorf("role may be %s", got)
	}
	if s := found["webrtc.udp_port"].AnyOf[0]; s.Type != "integer" || s.Minimum != "0" || s.Maximum != "65535" {
		t.Errorf("udp_port is %+v", s)
	}
	for path, tt := range map[string]struct{ good, bad []string }{
		"channels.NAME.client_id": {[]string{"tablet", "a.b-c_1"}, []string{"", "a b", "ä", strings.Repeat("a", 257)}},
		"limits.setup_timeout": {[]string{"20s", "1h30m", "0", "1.5s", "500ms"},
			[]string{"", "10", "-5s", "00", "1x"}},
	} {
		pattern := regexp.MustCompile(found[path].AnyOf[0].Pattern)
		for _, s := range tt.good {
			if !pattern.MatchString(s) {
				t.Errorf("%s: %q does not match %v", path, s, pattern)
			}
		}
		for _, s := range tt.bad {
			if pattern.MatchString(s) {
				t.Errorf("%s: %q matches %v", path, s, pattern)
			}
		}
	}
	for _, s := range []string{"${VAR}", "a${VAR:1}b"} {
		if p := found["limits.max_pending"].AnyOf[1].Pattern; !regexp.MustCompile(p).MatchString(s) {
			t.Errorf("%q is no variable by %s", s, p)
		}
	}
}

// The example is the manual: Load accepts it unchanged, it shows each key at least once, with its default if it has
// one.
func TestExample(t *testing.T) {
	const path = "../systemd/kvsagent.yaml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse(path, data, noEnv); err != nil {
		t.Errorf("as it is:\n%v", err)
	}
	for _, k := range keys(schema(t), "") {
		name := k.path[strings.LastIndexByte(k.path, '.')+1:]
		line := `(?m)^[ #-]*` + name + `:`
		if def := k.schema.Default; def != nil {
			line += ` ` + regexp.QuoteMeta(fmt.Sprint(def)) + `( |$)`
		}
		if !regexp.MustCompile(line).Match(data) {
			t.Errorf("%s is not shown as %s", k.path, line)
		}
	}
}

// With the comment signs before all keys removed, the example still has no unknown key and no wrong value.
func TestExampleUncommented(t *testing.T) {
	const path = "../systemd/kvsagent.yaml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`(?m)^( *)#( *(- )?[a-z0-9_-]+:( |$))`).ReplaceAll(data, []byte("$1$2"))
	_, err = config.Parse(path, whole, noEnv)
	for line := range strings.Lines(fmt.Sprint(err)) {
		// Only what an example cannot have: files of this host, and alternatives side by side.
		allowed := regexp.MustCompile(`no such file or directory|more than one kind of credentials|is there too|keep_warm keeps|only exec: has |no certificate without TLS`)
		if !allowed.MatchString(line) {
			t.Errorf("%s", line)
		}
	}
}

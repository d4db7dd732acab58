// Package systemd_test checks the unit files with the systemd of this machine, offline.
package systemd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unit copies the unit into a directory of its own, with an ExecStart that exists everywhere.
func unit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("kvsagent.service")
	if err != nil {
		t.Fatal(err)
	}
	const program = "ExecStart=/usr/bin/kvsagent run -c /etc/kvsagent/kvsagent.yaml\n"
	if n := bytes.Count(text, []byte(program)); n != 1 {
		t.Fatalf("%d lines are %s", n, program)
	}
	text = bytes.Replace(text, []byte(program), []byte("ExecStart=/bin/true\n"), 1)
	path := filepath.Join(t.TempDir(), "kvsagent.service")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program of Debian's package systemd, which the tests need.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; hint: apt-get install systemd", err)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

// The exit code alone is 0 even for keys that do not exist: any output is a mistake.
func TestUnitVerifies(t *testing.T) {
	if out, err := run(t, "systemd-analyze", "verify", unit(t)); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestUnitExposure(t *testing.T) {
	out, err := run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=13", unit(t))
	if err != nil {
		t.Errorf("more exposed than 1.3: %v\n%s", err, out)
	}
}

// Every setting is explained: a comment is above it, or above the settings right before it.
func TestUnitIsExplained(t *testing.T) {
	text, err := os.ReadFile("kvsagent.service")
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]bool{ // self-explanatory settings
		"Description": true, "ExecStart": true, "WantedBy": true,
	}
	explained := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		key, _, setting := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "#"):
			explained = true
		case line == "" || strings.HasPrefix(line, "["):
			explained = false
		case !setting:
			t.Errorf("neither setting nor comment: %q", line)
		case !explained && !plain[key]:
			t.Errorf("no comment above %s", line)
		}
	}
}

// The unit runs as the user that the sysusers file makes.
func TestUser(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Abs("kvsagent.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(root, "usr/lib/sysusers.d/kvsagent.conf")
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "systemd-sysusers", "--root="+root, "kvsagent.conf"); err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	service, err := os.ReadFile("kvsagent.service")
	if err != nil {
		t.Fatal(err)
	}
	for file, setting := range map[string]string{"passwd": "User", "group": "Group"} {
		made, err := os.ReadFile(filepath.Join(root, "etc", file))
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(string(made), ":")
		if want := "\n" + setting + "=" + name + "\n"; name == "" || !strings.Contains(string(service), want) {
			t.Errorf("%s has %q, the unit no line %q", file, name, strings.TrimSpace(want))
		}
	}
}

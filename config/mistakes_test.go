package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/config"
)

var update = flag.Bool("update", false, "write docs/config.md and the golden files anew")

// environment is the environment of every test; the values must never appear in a message.
func environment(name string) (string, bool) {
	v, ok := map[string]string{
		"HOST": "192.0.2.10", "PASSWORD": "hunter2", "EMPTY": "",
		"BAD_URL": "hunter2", "BAD_DURATION": "hunter2",
	}[name]
	return v, ok
}

func parseFile(t *testing.T, path string) (*config.Config, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return config.Parse(path, data, environment)
}

// Each testdata/NAME.yaml has mistakes, and NAME.txt holds all messages about them, by line.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			cfg, err := parseFile(t, path)
			list, ok := errors.AsType[config.Errors](err)
			if !ok || cfg != nil {
				t.Fatalf("Parse = %v, %v, want Errors alone", cfg, err)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", list.Error()+"\n")
			for i, e := range list {
				if i > 0 && e.Line < list[i-1].Line {
					t.Errorf("line %d comes after line %d", e.Line, list[i-1].Line)
				}
				if strings.Contains(e.Error(), "hunter2") || strings.Contains(e.Error(), "hun/ter2") {
					t.Errorf("a secret is shown: %v", e)
				}
			}
		})
	}
}

// golden compares got with a file, which -update writes.
func golden(t *testing.T, path, got string) {
	t.Helper()
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
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

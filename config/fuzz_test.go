package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/config"
)

// Whatever the file, Parse returns a config, or mistakes that each have a line of this file, and never shows a
// variable's value.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "../systemd/kvsagent.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	env := func(name string) (string, bool) {
		return "\x01value\x01", name != "NONE" && !strings.HasPrefix(name, "AWS_")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse("/nonexistent/kvsagent.yaml", data, env)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", cfg, err)
		}
		if err == nil {
			return
		}
		list, ok := errors.AsType[config.Errors](err)
		if !ok || len(list) == 0 {
			t.Fatalf("error %T of %d mistakes, want Errors", err, len(list))
		}
		lines := 2 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r") +
			strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") +
			strings.Count(string(data), "\u2029")
		for _, e := range list {
			if e.Line < 0 || e.Line > lines {
				t.Errorf("line %d of %d: %v", e.Line, lines, e)
			}
			if strings.Contains(e.Error(), "\x01value") {
				t.Errorf("a variable's value is shown: %v", e)
			}
		}
	})
}

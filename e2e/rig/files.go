package rig

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// WriteFile writes a file in a directory that is removed with the test, and returns its path.
func WriteFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Keep writes what a test has seen into the directory KVSAGENT_TEST_OUT, if that is set.
func Keep(t testing.TB, name string, v any) {
	t.Helper()
	dir := os.Getenv("KVSAGENT_TEST_OUT")
	if dir == "" {
		return
	}
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Error(err)
	}
}

// Root is the directory of the repository.
func Root() string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return "."
}

// browserFile is a file of e2e/browser.
func browserFile(names ...string) string {
	return filepath.Join(append([]string{Root(), "e2e", "browser"}, names...)...)
}

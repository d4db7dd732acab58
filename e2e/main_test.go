package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the program under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	os.Exit(build(m.Run))
}

// build makes the binary as make build does, but for its size, runs the tests and cleans up.
func build(run func() int) int {
	dir, err := os.MkdirTemp("", "kvsagent-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kvsagent")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "../cmd/kvsagent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
		return 1
	}
	defer chromium.stop()
	defer firefox.stop()
	return run()
}

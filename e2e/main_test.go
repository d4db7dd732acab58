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

// binaryEnv names one that was built already, by the run of the tests that this one is a part of.
const binaryEnv = "KVSAGENT_E2E_BINARY"

func TestMain(m *testing.M) {
	if addr := os.Getenv(proxyVariable); addr != "" { // in a network namespace, where only programs can be
		fmt.Fprintln(os.Stderr, serveProxy(addr))
		os.Exit(1)
	}
	os.Exit(build(m.Run))
}

// build makes the binary as make build does, but for its size, runs the tests and cleans up.
func build(run func() int) int {
	defer chromium.stop()
	defer firefox.stop()
	if binary = os.Getenv(binaryEnv); binary != "" {
		return run()
	}
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
	return run()
}

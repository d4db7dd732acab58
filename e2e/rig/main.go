package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Binary is the program under test, built once by TestMain.
var Binary string

// binaryEnv names one that was built already, by the run of the tests that this one is a part of.
const binaryEnv = "KVSAGENT_E2E_BINARY"

// Main runs the tests of a package that uses the rig, and returns the exit code: it builds the binary once, and ends
// the browsers.
//
//	func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
func Main(m *testing.M) int {
	if addr := os.Getenv(proxyVariable); addr != "" { // in a network namespace, where only programs can be
		fmt.Fprintln(os.Stderr, serveProxy(addr))
		return 1
	}
	defer Chromium.stop()
	defer Firefox.stop()
	if Binary = os.Getenv(binaryEnv); Binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "kvsagent-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(filepath.Join(dir, "kvsagent")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build makes the binary as make build does, but for its size.
func build(file string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", file, "./cmd/kvsagent")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	Binary = file
	return nil
}

package pipe_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media/pipe"
)

// TestEnvironmentOfACommand: a command gets what it needs, and none of the agent's secrets.
func TestEnvironmentOfACommand(t *testing.T) {
	for name, value := range map[string]string{
		"CAMPW": "sesame", "AWS_SECRET_ACCESS_KEY": "sesame", "HTTPS_PROXY": "http://user:sesame@192.0.2.1",
		"NOTIFY_SOCKET": "/run/sesame", "LC_ALL": "C", "TZ": "UTC", "KVSAGENT_SITE": "yard",
	} {
		t.Setenv(name, value)
	}
	file := filepath.Join(t.TempDir(), "env")
	s, err := pipe.New(pipe.Options{
		Command: pipe.Line("sh", "-c", "env >"+file), Env: map[string]string{"DRIVER": "iHD"},
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Run(t.Context(), &recorder{})
	env, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(env), "sesame") {
		t.Errorf("the command can read a secret:\n%s", env)
	}
	for _, want := range []string{"PATH=", "HOME=", "LC_ALL=C", "TZ=UTC", "KVSAGENT_SITE=yard", "DRIVER=iHD"} {
		if !strings.Contains("\n"+string(env), "\n"+want) {
			t.Errorf("%s is missing in\n%s", want, env)
		}
	}
}

// TestProcessThatEscapes: the command ends, and what it has left outside its group goes with it.
func TestProcessThatEscapes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	s, err := pipe.New(pipe.Options{
		Command: pipe.Line("sh", "-c", `setsid sh -c 'echo $$ >`+file+`; exec sleep 1000' & `+
			`while [ ! -s `+file+` ]; do sleep 0.01; done`),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context(), &recorder{}) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the source waits for a process that has escaped")
	}
	for _, pid := range await(t, file, 1) {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// TestFloodOnStderr: a command that writes errors without end costs little, and its last words are known.
func TestFloodOnStderr(t *testing.T) {
	s, err := pipe.New(pipe.Options{
		Command: pipe.Line("sh", "-c", "yes 'warning: frame dropped' | head -2000000 >&2; echo 'camera gone' >&2"),
		Log:     slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), &recorder{}); err == nil || !strings.Contains(err.Error(), "camera gone") {
		t.Errorf("Run = %v", err)
	}
}

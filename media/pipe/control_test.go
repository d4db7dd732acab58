package pipe_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/pipe"
)

type nowhere struct{}

func (nowhere) Tracks([]media.Track) {}
func (nowhere) Write(*media.Frame)   {}

// TestControl: a command with a control pipe gets a line for each request, and the descriptor is closed when it ends;
// requests while none runs are dropped.
func TestControl(t *testing.T) {
	heard := filepath.Join(t.TempDir(), "heard")
	src, err := pipe.New(pipe.Options{Control: true,
		Command: pipe.Line("sh", "-c",
			`echo up $KVSAGENT_CONTROL_FD >"$0"; while read -r l <&3; do echo "$l" >>"$0"; done`, heard)})
	if err != nil {
		t.Fatal(err)
	}
	camera, ok := src.(media.KeyFramer)
	if !ok {
		t.Fatal("the source makes no key frames")
	}
	for range 2 {
		camera.RequestKeyFrame() // nobody is there
		_ = os.Remove(heard)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- src.Run(ctx, nowhere{}) }()
		has := func(lines string) {
			t.Helper()
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				if b, _ := os.ReadFile(heard); string(b) == lines {
					return
				}
				if time.Now().After(end) {
					b, _ := os.ReadFile(heard)
					t.Fatalf("the command has heard %q, want %q", b, lines)
				}
			}
		}
		has("up 3\n")
		camera.RequestKeyFrame()
		has("up 3\nkeyframe\n")
		camera.RequestKeyFrame()
		has("up 3\nkeyframe\nkeyframe\n")
		cancel()
		<-done
	}
}

// TestControlOfTheDeaf: a command that never reads does not block anybody.
func TestControlOfTheDeaf(t *testing.T) {
	src, err := pipe.New(pipe.Options{Control: true, Command: pipe.Line("sleep", "60")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, nowhere{}) }()
	began := time.Now()
	for range 8_500 { // more than a pipe holds
		src.(media.KeyFramer).RequestKeyFrame()
		if time.Since(began) > 30*time.Second {
			t.Fatal("wishes wait for the command")
		}
	}
	cancel()
	<-done
}

// TestWithoutControl: a command without a control pipe makes no key frames, and has no such descriptor.
func TestWithoutControl(t *testing.T) {
	src, err := pipe.New(pipe.Options{Command: pipe.Line("sh", "-c",
		`if true <&3; then echo open; else echo shut; fi 2>/dev/null >&2; echo "fd $KVSAGENT_CONTROL_FD" >&2`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := src.(media.KeyFramer); ok {
		t.Error("the source says that it makes key frames")
	}
	if err := src.Run(t.Context(), nowhere{}); err == nil || !strings.Contains(err.Error(), "fd") ||
		strings.Contains(err.Error(), "fd 3") {
		t.Errorf("Run = %v, want the command's last words, without a descriptor", err)
	}
}

package agent_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media"
)

// unwatched is a viewer who looks at nothing.
type unwatched struct{}

func (unwatched) Tracks([]media.Track) {}
func (unwatched) Write(*media.Frame)   {}

// TestADayWithoutTheCamera: a camera that is not there, with viewers who come and go all day, is one line an hour, and
// no start for a viewer counts as one after a failure.
func TestADayWithoutTheCamera(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "rtsp://" + l.Addr().String() + "/live"
	l.Close() // nobody answers there
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		hub, stop, err := agent.StartSource("gate", config.Source{URL: url}, slog.New(slog.NewTextHandler(&b, nil)))
		if err != nil {
			t.Fatal(err)
		}
		leave := hub.Subscribe(unwatched{})
		for range 24 {
			time.Sleep(30 * time.Minute)
			leave()
			time.Sleep(29 * time.Minute)
			leave = hub.Subscribe(unwatched{})
			time.Sleep(time.Minute)
		}
		leave()
		tries := hub.Report().Restarts
		stop()
		lines := strings.Count(b.String(), "\n")
		if tries < 10000 {
			t.Fatalf("the camera was tried %d times, want that it is tried without end:\n%s", tries, b.String())
		}
		if lines < 20 || lines > 30 || !strings.Contains(b.String(), "refused") {
			t.Errorf("%d lines in a day, want one an hour:\n%s", lines, b.String())
		}
		t.Logf("%d tries, %d lines", tries, lines)
	})
}

package agent_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/config"
)

// leftover is what a churn may leave behind.
type leftover struct {
	goroutines, files int
	heap              uint64
}

func (l leftover) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB of heap", l.goroutines, l.files, l.heap>>10)
}

func leftovers(t *testing.T) leftover {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return leftover{runtime.NumGoroutine(), len(files), m.HeapAlloc}
}

// TestChurn has viewers come and go while the config is read anew and the camera restarts, for a few seconds, or for
// KVSAGENT_TEST_CHURN, such as 30m. Every viewer gets its picture, and nothing is left of those that are gone.
func TestChurn(t *testing.T) {
	length := 8 * time.Second
	if text := os.Getenv("KVSAGENT_TEST_CHURN"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := service(t)
	configs := []*config.Config{}
	for n := range 4 { // other limits, and every second time another camera: its viewers come again
		configs = append(configs, parse(t, s, fmt.Sprintf(`  other: {url: "testpattern:?size=320x240&rate=%d&gop=1s"}
channels:
  gate: {source: other, create: true, max_viewers: %d}
  yard: {source: pattern, create: true, max_viewers: %d}
`, 12+n/2, 10+n, 20-n)))
	}
	a, reload := start(t, configs[0])
	round := func(n int) bool {
		return t.Run(fmt.Sprint("round ", n), func(t *testing.T) {
			gate := join(t, s, "gate", fmt.Sprint("gate-", n)).watch()
			yard := join(t, s, "yard", fmt.Sprint("yard-", n)).watch()
			gate.plays(t, 3)
			yard.plays(t, 3)
			reload <- configs[n%len(configs)]
			yard.plays(t, 3) // whose camera stays as it is
			join(t, s, "gate", fmt.Sprint("late-", n)).watch().plays(t, 3)
		})
	}
	for n := range 4 { // pools and tables reach their size
		round(n)
	}
	empty := func() bool { return len(channel(a, "gate").Peers)+len(channel(a, "yard").Peers) == 0 }
	eventually(t, "the first viewers are gone", empty)
	before, began, n := leftovers(t), time.Now(), 4
	for ; time.Since(began) < length && !t.Failed(); n++ {
		round(n)
	}
	eventually(t, "the last viewers are gone", empty)
	var after leftover
	for range 200 { // what has ended may still be on its way out
		if after = leftovers(t); after.goroutines <= before.goroutines && after.files <= before.files {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%d rounds in %v: before %v, after %v", n-4, time.Since(began).Round(time.Second), before, after)
	if after.goroutines > before.goroutines || after.files > before.files || after.heap > before.heap+8<<20 {
		t.Errorf("something is left: before %v, after %v", before, after)
	}
	for reason, count := range channel(a, "yard").EndedBy {
		if reason == "failed" || reason == "never_connected" || reason == "refused" {
			t.Errorf("%d sessions of the camera that stays ended as %s", count, reason)
		}
	}
}

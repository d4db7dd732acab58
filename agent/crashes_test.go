package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// lives is an agent that starts again and again with one state directory.
type lives struct {
	t   *testing.T
	dir string
	at  time.Time
}

func (l *lives) start() *Crashes {
	l.t.Helper()
	c := &Crashes{path: filepath.Join(l.dir, "crashes.json"), now: func() time.Time { return l.at }}
	if err := c.begin(); err != nil {
		l.t.Fatal(err)
	}
	return c
}

func TestSafeMode(t *testing.T) {
	l := &lives{t: t, dir: t.TempDir(), at: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}
	for i := range 3 {
		if why := l.start().Safe(); why != "" {
			t.Fatalf("safe mode after %d crashes: %s", i, why)
		}
		l.at = l.at.Add(10 * time.Second)
	}
	c := l.start()
	if c.Safe() == "" {
		t.Fatal("no safe mode after three crashes within a minute")
	}
	if !c.joining("gate", "bad") || c.kept.Joining != "gate/bad" {
		t.Fatal("the first offer is not looked at")
	}
	l.at = l.at.Add(time.Second)
	c = l.start() // it crashed with that offer
	if c.joining("gate", "bad") {
		t.Error("the offer that crashed the agent is looked at again")
	}
	if !c.joining("gate", "good") || !c.joining("yard", "bad") {
		t.Error("others are not let in")
	}
	c.joined()
	c.Close()
	l.at = l.at.Add(time.Second)
	c = l.start() // an end as it should be is no crash
	if len(c.kept.Crashes) != 4 || c.Safe() == "" || c.joining("gate", "bad") {
		t.Errorf("after a clean end: %+v", c.kept)
	}
	l.at = l.at.Add(safeFor + time.Second)
	if c.Safe() != "" || !c.joining("gate", "bad") {
		t.Error("safe mode does not end")
	}
	c.Close()
	if c = l.start(); c.Safe() != "" || len(c.kept.Crashes) != 0 {
		t.Errorf("the next start remembers %+v", c.kept)
	}
}

// TestManyBadViewers: ever new client IDs crash the agent; after three the channel takes no more offers, and others do.
func TestManyBadViewers(t *testing.T) {
	l := &lives{t: t, dir: t.TempDir(), at: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}
	for range 4 {
		l.start()
		l.at = l.at.Add(time.Second)
	}
	crashes := 0
	for i := range 10 {
		if l.start().joining("gate", string(rune('a'+i))) {
			crashes++
		}
		l.at = l.at.Add(time.Second)
	}
	c := l.start()
	if crashes != bansMost || c.joining("gate", "z") || !c.joining("yard", "a") {
		t.Errorf("%d crashes in safe mode: %+v", crashes, c.kept)
	}
}

// TestCrashesThatAreFarApart: one a day is no reason for safe mode, and a damaged file is none.
func TestCrashesThatAreFarApart(t *testing.T) {
	l := &lives{t: t, dir: t.TempDir(), at: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}
	for range 5 {
		if l.start().Safe() != "" {
			t.Error("safe mode though the crashes are far apart")
		}
		l.at = l.at.Add(2 * time.Minute)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "crashes.json"), []byte("{nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l.start().Safe() != "" {
		t.Error("safe mode because of a damaged file")
	}
	if c, err := OpenCrashes(""); c != nil || err != nil || c.Safe() != "" || !c.joining("gate", "a") {
		t.Errorf("without a state directory: %v, %v", c, err)
	}
}

// TestStateOfAnotherVersion: another version wrote the file, with more in it, or the same names for other things. The
// agent starts all the same, keeps what it understands, and the other version starts with what this one wrote.
func TestStateOfAnotherVersion(t *testing.T) {
	for name, text := range map[string]string{
		"newer": `{"version": 99, "running": true, "crashes": ["2026-12-01T11:59:58Z", "2026-12-01T11:59:59Z"],
			"joining": "", "banned": {}, "places": [{"x": 1}]}`,
		"another shape": `{"running": "yes", "crashes": {"gate": 3}, "banned": ["x"]}`,
		"a list":        `[1, 2, 3]`, "older, which was empty": `{}`, "no text": "\x00\xff\x00", "nothing": "",
	} {
		l := &lives{t: t, dir: t.TempDir(), at: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}
		path := filepath.Join(l.dir, "crashes.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := l.start()
		if safe := c.Safe() != ""; safe != (name == "newer") {
			t.Errorf("%s: safe mode %v; want it only where three crashes are told", name, safe)
		}
		if !c.joining("gate", "a") {
			t.Errorf("%s: an offer is not taken", name)
		}
		c.Close()
		var kept struct { // as the other version may read it
			Running bool
			Crashes []time.Time
		}
		data, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(data, &kept) != nil || kept.Running {
			t.Errorf("%s: the file is %s, %v", name, data, err)
		}
	}
}

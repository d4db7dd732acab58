package localkvs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestScript(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	c := dial(t, s, create(t, s, "cam"), "v")
	file := filepath.Join(t.TempDir(), "script.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"do":[{"do":"go_away"}]}, {"after":"1ms","set":{"delay":"1s","calls":{"status":503}}}, {"set":{"clock_offset":"-10m"},"do":[{"do":"close"}]}]`)
	steps, err := localkvs.ReadScript(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Play(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	if got := c.next(); got.MessageType != "GO_AWAY" {
		t.Errorf("got %+v", got)
	}
	c.wantsClose(1001)
	if f := s.Faults(); f.ClockOffset != -10*time.Minute || f.Delay != 0 || f.Calls.Status != 0 {
		t.Errorf("faults %+v, want those of the last step only", f)
	}
	for text, want := range map[string]string{
		`[{"do":[{"do":"explode"}]}]`:    "step 1: do: \"explode\"",
		`[{"aftre":"1s"}]`:               "aftre",
		`[{"after":"soon"}]`:             "soon",
		`[{"set":{"clock_offset":"x"}}]`: "invalid duration",
		`{}`:                             "cannot unmarshal",
	} {
		write(text)
		if _, err := localkvs.ReadScript(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestFaultsAsJSON(t *testing.T) {
	f := localkvs.Faults{
		Calls: localkvs.Refusal{Status: 503, Times: 2}, ClockOffset: -time.Minute, Delay: 1500 * time.Millisecond,
		Duplicate: true,
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"calls":{"status":503,"times":2},"duplicate":true,"clock_offset":"-1m0s","delay":"1.5s"}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var back localkvs.Faults
	if err := json.Unmarshal(text, &back); err != nil || back.ClockOffset != f.ClockOffset || back.Delay != f.Delay ||
		back.Calls.Times != 2 {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

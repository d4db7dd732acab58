package agent

import (
	"fmt"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media/slate"
	"github.com/kvsagent/kvsagent/status"
)

// privacySwitch returns the privacy switch of a source of the config.
func privacySwitch(c config.Source) (slate.Switch, error) {
	s := slate.Switch{File: c.PrivacyFile}
	for _, text := range c.PrivacyHours {
		h, err := slate.ParseHours(text)
		if err != nil {
			return s, fmt.Errorf("privacy_hours: %w", err)
		}
		s.Hours = append(s.Hours, h)
	}
	return s, nil
}

// SetPrivacy sets the privacy switch of a source, which is a file. The privacy hours of the config close the source
// regardless of the switch.
func (a *Agent) SetPrivacy(name string, on bool) error {
	a.mu.Lock()
	s := a.sources[name]
	a.mu.Unlock()
	if s == nil {
		return &status.Problem{Status: 404, Text: fmt.Sprintf("there is no source %q", name)}
	}
	if s.privacy.File == "" {
		return &status.Problem{Status: 409, Text: fmt.Sprintf("source %q has no privacy switch", name),
			Hint: "set privacy_file: the switch is a file, so that it outlasts a restart"}
	}
	return s.privacy.Flip(on)
}

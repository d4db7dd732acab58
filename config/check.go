package config

import (
	"fmt"
	"time"
)

// A checker checks what decoding alone cannot judge: addresses, references, files, and keys that must or must not go
// together. It also converts values to the form that the rest of the program uses: secrets from their files, absolute
// paths, URLs without passwords, channels with their defaults.
type checker struct {
	*decoder
	cfg *Config
	top *mark
}

func (c *checker) check() {
	top := c.top
	c.aws(top.at("aws"), &c.cfg.AWS)
	for name, s := range c.cfg.Sources {
		c.source(top.at("sources").at(name), &s)
		c.cfg.Sources[name] = s
	}
	c.sourceRef(top.at("defaults").at("source"), c.cfg.Defaults.Source)
	c.channels()
	c.webrtc(top.at("webrtc"), &c.cfg.WebRTC)
	c.status(top.at("status"), &c.cfg.Status)
	c.limits(top.at("limits"))
}

// limits checks the limits against each other.
func (c *checker) limits(m *mark) {
	l := c.cfg.Limits
	if m := m.at("max_session"); !m.bad && l.MaxSession > 0 && l.MaxSession < l.SetupTimeout {
		c.fail(m, "shorter than setup_timeout ("+l.SetupTimeout.String()+")", "0 for no limit")
	}
	if m := m.at("idle_timeout"); !m.bad && l.IdleTimeout > 0 && l.IdleTimeout < 10*time.Second {
		c.fail(m, "shorter than 10s, which is what a restart of a source may take", "0 for no limit")
	}
	c.within(m.at("offers"), "client_burst", l.Offers.ClientBurst, "burst", l.Offers.Burst)
	c.within(m.at("signaling"), "early_candidates", l.Signaling.EarlyCandidates, "candidates", l.Signaling.Candidates)
	c.within(m.at("data_channels"), "message_bytes", l.DataChannels.MessageBytes, "bytes", l.DataChannels.Bytes)
}

// within reports a limit that is never reached because another applies first.
func (c *checker) within(m *mark, inner string, n int, outer string, most int) {
	if in, out := m.at(inner), m.at(outer); !in.bad && !out.bad && n > most {
		c.fail(in, fmt.Sprintf("%d is more than %s (%d)", n, outer, most), "raise "+outer+" too")
	}
}

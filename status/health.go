package status

import (
	"io"
	"net/http"
	"slices"
)

// readiness is the body of /readyz.
type readiness struct {
	Ready    bool       `json:"ready"`
	Channels []notReady `json:"not_ready"` // every channel that is not connected
	Stuck    []Stuck    `json:"stuck,omitempty"`
	Reload   *Reload    `json:"reload,omitempty"`
	SafeMode string     `json:"safe_mode,omitempty"`
}

// notReady is a channel that is not connected.
type notReady struct {
	Channel string  `json:"channel"`
	State   string  `json:"state"`
	Reason  string  `json:"reason"`
	RetryIn float64 `json:"retry_in,omitempty"` // seconds
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "alive\n")
}

func readyz(get func() Report, stuck func() []Stuck) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var all []Stuck
		if stuck != nil {
			all = stuck()
		}
		if slices.ContainsFunc(all, func(s Stuck) bool { return s.Fatal }) { // which the report may have to wait for
			writeJSON(w, http.StatusServiceUnavailable, readiness{Channels: []notReady{}, Stuck: all})
			return
		}
		ready := readinessOf(get())
		ready.Stuck = all
		code := http.StatusOK
		if !ready.Ready {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, ready)
	})
}

// readinessOf returns the channels that are not connected. An agent without channels is ready.
func readinessOf(r Report) readiness {
	out := readiness{Channels: []notReady{}, Reload: r.Reload, SafeMode: r.SafeMode}
	for _, c := range r.Channels {
		if c.connected() {
			continue
		}
		reason := c.Error
		if reason == "" {
			reason = "the first connection is still being made"
			if c.Connects > 0 {
				reason = "the connection is being made again"
			}
		}
		out.Channels = append(out.Channels, notReady{c.Name, c.State, reason, c.RetryIn})
	}
	out.Ready = len(out.Channels) == 0
	return out
}

// connected reports whether signaling is up.
func (c *Channel) connected() bool { return c.State == "connected" }

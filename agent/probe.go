package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media/probe"
)

// Probe runs one source of a config for d, and says what it delivers and how that will look in a browser. It runs the
// source itself, without a hub, beside the one that an agent may be running.
func Probe(ctx context.Context, cfg *config.Config, name string, d time.Duration,
	log *slog.Logger) (ProbeResult, error) {
	c, ok := cfg.Sources[name]
	if !ok {
		return ProbeResult{}, fmt.Errorf("no source %q in the config", name)
	}
	hideSecrets(cfg)
	c.Audio = config.AudioTranscode // let all sound through to be seen; nothing is transcoded
	src, err := newKind(c, log)
	if err != nil {
		return ProbeResult{}, err
	}
	return probe.Run(ctx, src, d), nil
}

// ProbeResult is what Probe saw.
type ProbeResult = probe.Result

// ProbeBad is the worst verdict.
const ProbeBad = probe.Bad

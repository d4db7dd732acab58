package agent

import "github.com/kvsagent/kvsagent/media"

// ProcessRestart wraps a source of a, as a camera of this host is.
func ProcessRestart(a *Agent, src media.Source) media.Source { return processRestart{src, a.end} }

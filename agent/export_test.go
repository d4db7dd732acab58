package agent

import "github.com/kvsagent/kvsagent/media"

// ProcessRestart wraps a source of a like a camera of this host.
func ProcessRestart(a *Agent, src media.Source) media.Source { return processRestart{src, a.end} }

package agent

import "github.com/kvsagent/kvsagent/media"

// Restarting wraps a source of a, as a camera of this host is.
func Restarting(a *Agent, src media.Source) media.Source { return restarting{src, a.end} }

package agent

import (
	"fmt"
	"sync"

	"github.com/kvsagent/kvsagent/internal/hostlock"
	"github.com/kvsagent/kvsagent/signaling"
)

// TakenError says that another process of this host serves a channel.
type TakenError = hostlock.TakenError

// claim is a channel's place as the only master of this host. KVS lets the newest master have all messages and tells
// the older one nothing: it would stay connected, and deaf.
type claim struct {
	mu      sync.Mutex // guards the fields below
	name    string     // "" before the channel is known
	release func()
}

// take claims the channel with this ARN at this service.
func (c *claim) take(endpoint, arn string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := endpoint + " " + arn
	if name == c.name {
		return nil
	}
	release, err := hostlock.Take(name)
	if err != nil {
		return fmt.Errorf("%w is the master of this channel; hint: two masters take each other's viewers, stop one",
			err)
	}
	if c.release != nil {
		c.release()
	}
	c.name, c.release = name, release
	return nil
}

// drop lets others have it.
func (c *claim) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release != nil {
		c.release()
	}
	c.name, c.release = "", nil
}

// taken ends the agent when the only thing that it could do is done by another process. An agent that serves other
// channels goes on, and tries again.
func (a *Agent) taken(err error) {
	for _, ch := range a.allChannels() {
		if ch.now().client.Report().State == signaling.Online {
			return
		}
	}
	a.end(err)
}

package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// How the agent comes back from crashes: after so many within a while it starts in safe mode, until that long nothing
// has happened.
const (
	crashesMost   = 3
	crashesWithin = time.Minute
	safeFor       = 10 * time.Minute
	bansMost      = 3 // of clients of one channel; the next takes no offers of anybody
)

// Crashes is what the agent remembers of its own ends, in a file of the service's state directory. In safe mode viewers
// come one at a time, and whose offer was being answered when the process ended is not answered again: a single bad
// viewer cannot keep the agent down. A nil Crashes remembers nothing.
type Crashes struct {
	path string
	now  func() time.Time

	mu   sync.Mutex // guards the fields below
	safe time.Time  // until then; zero: not in safe mode
	kept crashFile
}

// crashFile is the file.
type crashFile struct {
	Running bool                 `json:"running"` // since the last start; true at a start: the run before has crashed
	Crashes []time.Time          `json:"crashes"`
	Joining string               `json:"joining"` // the viewer whose offer is being answered, in safe mode
	Banned  map[string]time.Time `json:"banned"`  // viewers, until when
}

// OpenCrashes reads and begins the file of a state directory. It returns nil without a directory.
func OpenCrashes(dir string) (*Crashes, error) {
	if dir == "" {
		return nil, nil
	}
	c := &Crashes{path: filepath.Join(dir, "crashes.json"), now: time.Now}
	return c, c.begin()
}

func (c *Crashes) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if data, err := os.ReadFile(c.path); err == nil {
		_ = json.Unmarshal(data, &c.kept) // a file that is damaged is as none
	}
	now, k := c.now(), &c.kept
	if k.Running {
		k.Crashes = append(k.Crashes, now)
	}
	k.Crashes = slices.DeleteFunc(k.Crashes, func(t time.Time) bool { return now.Sub(t) > safeFor || t.After(now) })
	for who, until := range k.Banned {
		if now.After(until) {
			delete(k.Banned, who)
		}
	}
	if k.Joining != "" && k.Running {
		if k.Banned == nil {
			k.Banned = map[string]time.Time{}
		}
		k.Banned[k.Joining] = now.Add(safeFor)
	}
	k.Running, k.Joining = true, ""
	for i := crashesMost - 1; i < len(k.Crashes); i++ {
		if k.Crashes[i].Sub(k.Crashes[i-crashesMost+1]) <= crashesWithin {
			c.safe = now.Add(safeFor) // each crash begins the ten minutes anew
		}
	}
	return c.write()
}

// write replaces the file, with the lock held.
func (c *Crashes) write() error {
	data, err := json.Marshal(c.kept)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path+".new", data, 0o600); err != nil {
		return fmt.Errorf("remember crashes: %w", err)
	}
	return os.Rename(c.path+".new", c.path)
}

// Safe says why the agent is in safe mode, "" when it is not.
func (c *Crashes) Safe() string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.safe.IsZero() || c.now().After(c.safe) {
		return ""
	}
	return fmt.Sprintf("the agent has crashed %d times lately; until %s viewers come one at a time, without data "+
		"channels and without smaller streams", len(c.kept.Crashes), c.safe.Format(time.TimeOnly))
}

// left returns how long safe mode lasts.
func (c *Crashes) left() time.Duration {
	if c.Safe() == "" {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.safe.Sub(c.now())
}

// joining notes, before an offer is looked at, whose it is. It reports false for one that is not to be looked at.
func (c *Crashes) joining(channel, client string) bool {
	if c.Safe() == "" {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	who := channel + "/" + client
	_, banned := c.kept.Banned[who]
	of := 0
	for x := range c.kept.Banned {
		if strings.HasPrefix(x, channel+"/") {
			of++
		}
	}
	if banned || of >= bansMost {
		return false
	}
	c.kept.Joining = who
	_ = c.write()
	return true
}

// joined notes that the viewer has done no harm.
func (c *Crashes) joined() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept.Joining != "" {
		c.kept.Joining = ""
		_ = c.write()
	}
}

// Close notes that the agent ends as it should.
func (c *Crashes) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Running, c.kept.Joining = false, ""
	_ = c.write()
}

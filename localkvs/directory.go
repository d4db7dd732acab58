package localkvs

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// directory finds channels by ARN, and by region and name.
type directory struct {
	limit   int           // channels; negative means any number
	changed chan struct{} // one slot: there is something to save

	mu     sync.Mutex // guards the fields below; taken before a channel's
	byARN  map[string]*channel
	byName map[[2]string]*channel
}

func newDirectory(limit int) *directory {
	return &directory{
		limit:   limit,
		changed: make(chan struct{}, 1),
		byARN:   map[string]*channel{},
		byName:  map[[2]string]*channel{},
	}
}

// touch notes that a channel has changed.
func (d *directory) touch() { wake(d.changed) }

// wake signals a one-slot channel.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (d *directory) add(c *channel) *apiError {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := [2]string{c.region, c.name}
	if d.byName[key] != nil {
		return inUse("channel %s already exists", c.name)
	}
	if d.limit >= 0 && len(d.byARN) >= d.limit {
		return badRequest("AccountChannelLimitExceededException", "the account has as many channels as it may have")
	}
	d.byName[key], d.byARN[c.arn] = c, c
	d.touch()
	return nil
}

// remove removes a channel. The caller must close its connections.
func (d *directory) remove(c *channel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byARN, c.arn)
	delete(d.byName, [2]string{c.region, c.name})
	d.touch()
}

func (d *directory) named(region, name string) *channel {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byName[[2]string{region, name}]
}

func (d *directory) find(arn string) *channel {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byARN[arn]
}

// all returns every channel, by region and name.
func (d *directory) all() []*channel {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*channel, 0, len(d.byARN))
	for _, c := range d.byARN {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *channel) int {
		return cmp.Or(strings.Compare(a.region, b.region), strings.Compare(a.name, b.name))
	})
	return list
}

// list returns up to n channels of a region whose names begin with prefix and come after the name after, and whether
// there are more.
func (d *directory) list(region, prefix, after string, n int) (page []*channel, more bool) {
	for _, c := range d.all() {
		if c.region != region || !strings.HasPrefix(c.name, prefix) || c.name <= after {
			continue
		}
		if len(page) == n {
			return page, true
		}
		page = append(page, c)
	}
	return page, false
}

package config

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// channels applies the defaults, checks each channel, and checks that no two conflict.
func (c *checker) channels() {
	m := c.top.at("channels")
	if m.bad {
		return
	}
	if m.here && len(c.cfg.Channels) == 0 {
		c.fail(m, "no channels", "front-gate: {source: gate}")
	}
	names := slices.SortedFunc(maps.Keys(c.cfg.Channels), func(a, b string) int { return m.at(a).line - m.at(b).line })
	taken := make(map[string]string)
	for _, name := range names {
		ch, cm := c.cfg.Channels[name], m.at(name)
		if cm.bad {
			continue
		}
		c.inherit(name, cm, &ch)
		c.channel(cm, &ch)
		c.cfg.Channels[name] = ch
		c.unique(cm, name, ch, taken)
	}
}

// inherit fills in what a channel takes from the defaults and from its key.
func (c *checker) inherit(name string, m *mark, ch *Channel) {
	def := c.cfg.Defaults
	if !m.has("channel_name") {
		ch.ChannelName = name
	}
	if !m.has("role") {
		ch.Role = def.Role
	}
	if !m.has("create") {
		ch.Create = def.Create
	}
	if !m.has("message_ttl") {
		ch.MessageTTL = def.MessageTTL
	}
	if !m.has("tags") {
		ch.Tags = def.Tags
	}
	if !m.has("storage") {
		ch.Storage = def.Storage
	}
	if ch.Role == Master {
		if !m.has("source") {
			ch.Source = def.Source
		}
		if !m.has("max_viewers") {
			ch.MaxViewers = def.MaxViewers
		}
	}
	if ch.Role == Viewer && !m.has("client_id") {
		host, _ := os.Hostname()
		ch.ClientID = clientID(host, name)
	}
}

// clientID makes an ID that is stable for a channel on a host, from characters that KVS allows.
func clientID(host, channel string) string {
	id := notID.ReplaceAllString("kvsagent-"+host+"-"+channel, "_")
	return id[:min(len(id), 256)]
}

var notID = regexp.MustCompile(`[^a-zA-Z0-9_.-]+`)

// channel checks the keys of one channel against its role.
func (c *checker) channel(m *mark, ch *Channel) {
	c.sourceRef(m.at("source"), ch.Source)
	c.offers(m, ch)
	if id := m.at("client_id"); !id.bad {
		c.reserved(id, ch.ClientID)
	}
	def := c.top.at("defaults")
	if m.at("role").bad || def.at("role").bad {
		return
	}
	wrong := map[Role][]string{Master: {"client_id", "wait_for_offer"}, Viewer: {"offer_to", "max_viewers"}}
	for _, key := range wrong[ch.Role] {
		if m.has(key) {
			c.fail(m.at(key), "means nothing to a "+string(ch.Role), "remove it, or change the role")
		}
	}
	if ch.Role == Master && !m.has("source") && !def.has("source") {
		c.fail(m, "a master without source", "source: NAME, one of: "+listed(slices.Collect(maps.Keys(c.cfg.Sources))))
	}
}

// sourceRef checks a reference to a source, written at m.
func (c *checker) sourceRef(m *mark, name string) {
	_, ok := c.cfg.Sources[name]
	if ok || !m.here || m.bad || c.top.at("sources").bad {
		return
	}
	names := slices.Collect(maps.Keys(c.cfg.Sources))
	hint := "sources are: " + listed(names)
	if near := nearest(name, names); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	c.fail(m, "unknown source "+quote(m.text), hint)
}

// offers checks the viewers that a master offers to.
func (c *checker) offers(m *mark, ch *Channel) {
	om := m.at("offer_to")
	seen := make(map[string]bool)
	for i, id := range ch.OfferTo {
		im := om.item(i)
		if im.bad {
			continue
		}
		c.reserved(im, id)
		if seen[id] {
			c.fail(im, "the same client id twice", "remove one of them")
		}
		seen[id] = true
	}
	if ch.Role == Master && ch.MaxViewers > 0 && len(ch.OfferTo) > ch.MaxViewers {
		c.fail(om, "more viewers than max_viewers", "raise max_viewers")
	}
}

// reserved refuses the client IDs that KVS reserves (KVS dev guide, ConnectAsViewer).
func (c *checker) reserved(m *mark, id string) {
	if strings.HasPrefix(id, "AWS_") {
		c.fail(m, "client ids that begin with AWS_ belong to the service", "choose another")
	}
}

// unique refuses a second master of one channel, and a second viewer with one client ID: each would displace the other.
func (c *checker) unique(m *mark, name string, ch Channel, taken map[string]string) {
	who, hint := "master", "give one of them another channel_name, or list more viewers on one"
	if ch.Role == Viewer {
		who, hint = "viewer "+ch.ClientID, "give one of them another client_id"
	}
	if m.at("channel_name").bad || m.at("role").bad || m.at("client_id").bad {
		return
	}
	key := ch.ChannelName + " " + who
	if other, ok := taken[key]; ok {
		c.fail(m, "the same channel and part as "+other, hint)
		return
	}
	taken[key] = name
}

package agent

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/kvsagent/kvsagent/internal/fault"
	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
)

// Report returns the state of everything.
func (a *Agent) Report() status.Report {
	a.mu.Lock()
	sources, channels := slices.Collect(maps.Values(a.sources)), slices.Collect(maps.Values(a.channels))
	var unsent, panics uint64
	if a.network != nil {
		unsent, panics = a.network.engine.Dropped(), a.network.engine.Panics()
	}
	panics += fault.Panics()
	reload := a.reload
	a.mu.Unlock()
	slices.SortFunc(sources, func(a, b *source) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(channels, func(a, b *channel) int { return cmp.Compare(a.name, b.name) })
	r := status.Report{Version: a.o.Version, Started: a.started, Now: time.Now(), FirstFrames: a.times.report(),
		Unsent: unsent, Panics: panics, SafeMode: a.o.Crashes.Safe()}
	if !reload.Success.IsZero() {
		r.Reload = &reload
	}
	for _, s := range sources {
		r.Sources = append(r.Sources, s.report())
	}
	for _, ch := range channels {
		r.Channels = append(r.Channels, ch.report())
	}
	return r
}

func (s *source) report() status.Source {
	h := s.hub.Report()
	r := status.Source{Name: s.name, URL: publicURL(s.cfg.URL), State: string(h.State), Error: text(h.Err),
		Restarts: h.Restarts, Watchers: s.broadcast.Watchers(), Notes: texts(h.Notes), Privacy: s.privacy.Why()}
	r.Tracks = hubTracks(h)
	if s.sub != nil {
		h := s.sub.Report()
		r.Sub = &status.Sub{URL: publicURL(s.cfg.Sub), State: string(h.State), Error: text(h.Err), Restarts: h.Restarts,
			Tracks: hubTracks(h)}
	}
	return r
}

func hubTracks(h media.HubReport) (out []status.Track) {
	for _, t := range h.Tracks {
		out = append(out, status.Track{
			Codec: string(t.Codec), Width: t.Width, Height: t.Height,
			Frames: t.Frames, KeyFrames: t.KeyFrames, Bytes: t.Bytes, FPS: t.FPS, Bitrate: t.Bitrate,
		})
	}
	return out
}

func (ch *channel) report() status.Channel {
	now := ch.now()
	c := now.client.Report()
	if err := ch.nextError(); err != nil && c.Err == nil {
		c.Err = err
	}
	r := status.Channel{
		Name: ch.name, KVSName: now.cfg.ChannelName, ARN: c.ARN, Role: string(now.cfg.Role),
		State: string(c.State), Error: text(c.Err), RetryIn: c.RetryIn.Seconds(), Since: c.Since,
		Connects: c.Connects, Received: c.Received, Sent: c.Sent, Refused: c.Refused, Ignored: c.Ignored,
		Displaced: c.Displaced, Source: now.cfg.Source, MaxViewers: now.cfg.MaxViewers,
	}
	if c.State == signaling.Idle {
		r.State = string(signaling.Connecting)
	}
	for _, s := range ch.snapshot() {
		r.Peers = append(r.Peers, s.report(ch))
	}
	ch.reportStorage(&r, c)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	r.Ignored += ch.ignored
	r.EndedBy = maps.Clone(ch.endedBy)
	for _, e := range ch.history {
		r.Ended = append(r.Ended, status.Ended{ClientID: e.client, Session: e.id, At: e.at, Seconds: e.lasted.Seconds(),
			Reason: redact.Text(e.reason)})
	}
	return r
}

func (s *session) report(ch *channel) status.Peer {
	p := s.conn.Report()
	r := status.Peer{
		ClientID: s.client, Session: s.id, State: string(p.State), Offerer: "them", Since: s.began,
		Local: p.Local, Remote: p.Remote, RTT: p.RTT.Seconds(), Jitter: ms(p.Jitter), FirstFrame: stages(p.Stages),
		Direct: p.Direct, Unasked: p.Unasked, Stray: p.Stray,
	}
	if p.Offered {
		r.Offerer = "us"
	}
	sizes := map[media.Codec]media.Track{}
	if src := ch.source; src != nil {
		hub := src.hub
		if p.Level == fanout.Sub {
			hub = src.sub
		}
		for _, t := range hub.Report().Tracks {
			sizes[t.Codec] = t.Track
		}
		if src.sub != nil {
			r.Level = p.Level.String()
		}
		r.Estimate, r.Behind, r.Moves = p.Estimate, ms(p.Behind), p.Moves
	}
	for _, t := range p.Sending {
		t.Width, t.Height = sizes[t.Codec].Width, sizes[t.Codec].Height
		r.Sending = append(r.Sending, track(t))
	}
	for _, t := range p.Receiving {
		r.Receiving = append(r.Receiving, track(t))
	}
	return r
}

func track(t peer.TrackReport) status.Track {
	return status.Track{
		Codec: string(t.Codec), Width: t.Width, Height: t.Height, Frames: t.Frames, KeyFrames: t.KeyFrames,
		Bytes: t.Bytes,
		FPS:   t.FPS, Bitrate: t.Bitrate, Packets: t.Packets, Lost: t.Lost, Dropped: t.Dropped,
		DroppedFor: t.DroppedFor,
		Resent:     t.Resent, KeysAsked: t.KeysAsked, Paused: t.Paused,
	}
}

func stages(s peer.Stages) status.Stages {
	return status.Stages{
		Offer: ms(s.Offer), Answer: ms(s.Answer), ICE: ms(s.ICE), Connected: ms(s.Connected), Packet: ms(s.Packet),
		Frame: ms(s.Frame),
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func text(err error) string {
	if err == nil {
		return ""
	}
	return redact.Text(err.Error())
}

func texts(all []string) (out []string) {
	for _, s := range all {
		out = append(out, redact.Text(s))
	}
	return out
}

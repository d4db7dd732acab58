package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/record"
	"github.com/kvsagent/kvsagent/status"
)

// ViewOptions says what to view.
type ViewOptions struct {
	Channel      string        // key in the config, or the name of a KVS channel
	ClientID     string        // "" generates one
	Duration     time.Duration // after the first frame; 0 runs until ctx is done
	Record       string        // path of an MP4 file; "" records nothing
	WaitForOffer bool          // let the master offer
	Progress     func(View)    // called twice a second; may be nil
	Log          *slog.Logger  // nil discards
}

// View is what a viewer has seen so far.
type View struct {
	Channel      string     `json:"channel"`
	Connected    bool       `json:"connected"`
	State        string     `json:"state"`
	Error        string     `json:"error,omitempty"`
	FirstFrameMS float64    `json:"first_frame_ms"` // from the start to the first key frame
	Video        *VideoView `json:"video"`
	Audio        *AudioView `json:"audio"`
	Bytes        uint64     `json:"bytes"`
	Path         string     `json:"path,omitempty"` // types of the chosen candidates, ours and theirs
	Record       string     `json:"record,omitempty"`
}

// VideoView describes the received video.
type VideoView struct {
	Codec     string  `json:"codec"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	Frames    uint64  `json:"frames"`
	KeyFrames uint64  `json:"key_frames"`
	Packets   uint64  `json:"packets"`
	Lost      uint64  `json:"lost"`
	FPS       float64 `json:"fps"`
	Bitrate   float64 `json:"bitrate"` // bits per second
}

// AudioView describes the received audio.
type AudioView struct {
	Codec   string  `json:"codec"`
	Packets uint64  `json:"packets"`
	Lost    uint64  `json:"lost"`
	Bitrate float64 `json:"bitrate"`
}

// RunView joins a channel as a viewer, receives, and returns what it saw. It reconnects when the session or signaling
// drops. The error says why no picture came or what went wrong with the recording; the View is filled in either way.
func RunView(ctx context.Context, cfg *config.Config, o ViewOptions) (View, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n, err := newNetwork(cfg, o.Log)
	if err != nil {
		return View{Channel: o.Channel}, err
	}
	if n.awsKeys, err = newAWSKeys(ctx, cfg.AWS, o.Log); err != nil {
		return View{Channel: o.Channel}, err
	}
	if err := n.open(); err != nil {
		return View{Channel: o.Channel}, err
	}
	defer func() { _ = n.engine.Close() }()
	ch, err := newChannel(o.Channel, viewedChannel(cfg, o), n, nil, &stageTimes{}, o.Log)
	if err != nil {
		return View{Channel: o.Channel}, err
	}
	sink := &firstFrame{began: time.Now()}
	var recording *record.Writer
	if o.Record != "" {
		if recording, err = record.Create(o.Record); err != nil {
			return View{Channel: o.Channel}, err
		}
		recording.Log = o.Log
		sink.Sink = recording
	}
	ch.sink = sink
	ch.start()
	v := watchView(ctx, ch, o, sink)
	ch.stop()
	if recording != nil {
		v.Record = o.Record
		if err := recording.Close(); err != nil {
			return v, err
		}
	}
	if v.FirstFrameMS == 0 {
		if v.Error == "" {
			v.Error = "nothing came; hint: is a master connected to this channel, and does its camera run?"
		}
		return v, errors.New(v.Error)
	}
	return v, nil
}

// viewedChannel turns the config's channel into a viewer's, or makes one that the config does not have.
func viewedChannel(cfg *config.Config, o ViewOptions) config.Channel {
	c := config.Channel{Role: config.Viewer, Storage: config.StorageAuto, ChannelName: o.Channel, ClientID: o.ClientID,
		WaitForOffer: o.WaitForOffer}
	if known, ok := cfg.Channels[o.Channel]; ok {
		c.ChannelName, c.Storage = known.ChannelName, known.Storage
	}
	if c.ClientID == "" {
		c.ClientID = "view-" + shortID()
	}
	return c
}

// watchView follows a channel until its time is over.
func watchView(ctx context.Context, ch *channel, o ViewOptions, sink *firstFrame) View {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	v := View{Channel: o.Channel}
	for {
		var done <-chan time.Time
		if at := sink.at(); o.Duration > 0 {
			left := o.Duration - time.Since(sink.began)
			if !at.IsZero() {
				left = o.Duration - time.Since(at)
			} else {
				left += noPictureGrace
			}
			done = time.After(max(left, 0))
		}
		select {
		case <-ctx.Done():
			v.update(ch.report(), sink)
			return v
		case <-done:
			v.update(ch.report(), sink)
			return v
		case <-tick.C:
			v.update(ch.report(), sink)
			if o.Progress != nil {
				o.Progress(v)
			}
		}
	}
}

// noPictureGrace is how much longer than its duration a view waits for the first picture.
const noPictureGrace = 20 * time.Second

// update takes over what the channel reports. What an earlier session saw stays until a new one has seen something.
func (v *View) update(r status.Channel, sink *firstFrame) {
	v.State, v.Error = r.State, r.Error
	if at := sink.at(); !at.IsZero() {
		v.FirstFrameMS = ms(at.Sub(sink.began))
	}
	if len(r.Ended) > 0 && v.FirstFrameMS == 0 {
		v.Error = r.Ended[0].Reason
	}
	for _, p := range r.Peers {
		v.State = p.State
		if p.State == "connected" {
			v.Connected, v.Path, v.Error = true, p.Local+"/"+p.Remote, ""
		}
		if p.Stray != "" && v.FirstFrameMS == 0 {
			v.Error = p.Stray
		}
		if len(p.Receiving) > 0 {
			v.Bytes = 0
		}
		for _, t := range p.Receiving {
			v.Bytes += t.Bytes
			if media.Codec(t.Codec).Video() {
				v.Video = &VideoView{
					Codec: t.Codec, Width: t.Width, Height: t.Height, Frames: t.Frames, KeyFrames: t.KeyFrames,
					Packets: t.Packets, Lost: t.Lost, FPS: t.FPS, Bitrate: t.Bitrate,
				}
				continue
			}
			v.Audio = &AudioView{Codec: t.Codec, Packets: t.Packets, Lost: t.Lost, Bitrate: t.Bitrate}
		}
	}
}

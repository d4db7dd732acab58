package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/file"
	"github.com/kvsagent/kvsagent/media/mpegts"
	"github.com/kvsagent/kvsagent/media/onvif"
	"github.com/kvsagent/kvsagent/media/pipe"
	"github.com/kvsagent/kvsagent/media/rtpin"
	"github.com/kvsagent/kvsagent/media/rtsp"
	"github.com/kvsagent/kvsagent/media/slate"
	"github.com/kvsagent/kvsagent/media/snapshot"
	"github.com/kvsagent/kvsagent/media/testpattern"
	"github.com/kvsagent/kvsagent/peer/fanout"
)

// source is one source of the config, with the hub and the broadcast that its channels share.
type source struct {
	name      string
	cfg       config.Source
	privacy   slate.Switch
	hub       *media.Hub
	sub       *media.Hub // for the smaller stream; nil when there is none
	broadcast *fanout.Broadcast
	camera    *snapshot.Camera

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// newSource makes a source. It calls end when a device can be opened only after a restart of the process.
func newSource(name string, c config.Source, log *slog.Logger, end func(error)) (*source, error) {
	hideSource(c)
	src, err := openSource(c, log.With("source", name))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.URL, "v4l2:") {
		src = processRestart{src, end}
	}
	privacy, err := privacySwitch(c)
	if err != nil {
		return nil, err
	}
	o := media.HubOptions{
		Name: name, Source: src, Epoch: time.Now(), KeepWarm: c.KeepWarm, Linger: c.Linger, Log: log,
		Standby: standby(c.Offline),
		Backoff: func(failures int) time.Duration { return jittered(time.Second, 30*time.Second, failures) },
	}
	s := &source{name: name, cfg: c, privacy: privacy, hub: media.NewHub(o)}
	if c.Sub != "" {
		o.Name, o.KeepWarm = name+"/sub", false
		if o.Source, err = openSource(subOf(c), log.With("source", o.Name)); err != nil {
			return nil, fmt.Errorf("sub: %w", err)
		}
		s.sub = media.NewHub(o)
	}
	s.broadcast, s.camera = fanout.NewBroadcast(s.hub, s.sub), snapshot.NewCamera()
	return s, nil
}

// subOf returns the config of a source's smaller stream.
func subOf(c config.Source) config.Source {
	c.URL, c.Sub, c.Args, c.Audio = c.Sub, "", nil, config.AudioOff
	return c
}

// standby returns what viewers see while a source is away: a slate in the codec that they have negotiated, H.264 until
// it is known, or the last picture if the operator prefers that. An audio-only source has no standby.
func standby(o config.Offline) func([]media.Track) media.Source {
	if o != config.OfflineSlate {
		return nil
	}
	return func(tracks []media.Track) media.Source {
		video := slices.ContainsFunc(tracks, func(t media.Track) bool { return t.Codec.Video() })
		if len(tracks) > 0 && !video {
			return nil
		}
		return slate.Like(slate.Offline, tracks)
	}
}

// CheckSources returns the sources of a config that cannot be made, with what their own packages find wrong in their
// URLs. It opens nothing.
func CheckSources(cfg *config.Config) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Sources)) {
		c := cfg.Sources[name]
		if _, err := openSource(c, slog.New(slog.DiscardHandler)); err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", name, err))
		}
		if c.Sub == "" {
			continue
		}
		if _, err := openSource(subOf(c), slog.New(slog.DiscardHandler)); err != nil {
			errs = append(errs, fmt.Errorf("source %s: sub: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// openSource makes a source with what the config wraps around it.
func openSource(c config.Source, log *slog.Logger) (media.Source, error) {
	privacy, err := privacySwitch(c)
	if err != nil {
		return nil, err
	}
	src, err := newKind(c, log)
	if err != nil {
		return nil, err
	}
	switch c.Audio {
	case config.AudioTranscode:
		src = pipe.Transcode(src, log)
	case config.AudioOff:
		src = muted{src}
	}
	if privacy.File != "" || len(privacy.Hours) > 0 {
		src = slate.Privacy(src, privacy, log)
	}
	return src, nil
}

// newKind makes the kind of source that the URL's scheme names.
func newKind(c config.Source, log *slog.Logger) (media.Source, error) {
	scheme, _, _ := strings.Cut(c.URL, ":")
	foreign := c.Audio != config.AudioPass // let through to be transcoded, or left out later anyway
	switch scheme {
	case "rtsp", "rtsps":
		o, err := rtsp.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Username, o.Password, o.Basic = c.Username, string(c.Password), c.BasicAuth
		o.Transport, o.Fingerprint = rtsp.Transport(c.Transport), c.Fingerprint
		o.Foreign, o.Log = foreign, log
		src, err := rtsp.New(o)
		if err != nil || c.ONVIF == "" {
			return src, err
		}
		stream, err := onvif.NewStream(c.ONVIF, onvif.Login{Username: c.Username, Password: string(c.Password)}, c.URL)
		if err != nil {
			return nil, err
		}
		return withKeyFrames(src, stream, log), nil
	case "file":
		o, err := file.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Foreign, o.Log = foreign, log
		return file.New(o)
	case "testpattern":
		o, err := testpattern.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Log = log
		return testpattern.New(o)
	case "exec", "v4l2", "libcamera":
		o, err := pipe.Parse(c.URL, c.Args...)
		if err != nil {
			return nil, err
		}
		o.Foreign, o.Control, o.Env, o.Log = foreign, c.Control, c.Env, log
		return pipe.New(o)
	case "rtp":
		o, err := rtpin.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Foreign, o.Log = foreign, log
		return rtpin.New(o)
	case "mpegts":
		o, err := mpegts.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Foreign, o.Log = foreign, log
		return mpegts.New(o)
	}
	return nil, fmt.Errorf("unknown kind of source %q; hint: rtsp://, v4l2:, libcamera:, exec:, file:, "+
		"rtp:, mpegts:// or testpattern:", scheme)
}

// muted is a source without its sound.
type muted struct{ media.Source }

// Unwrap implements media.Wrapper.
func (m muted) Unwrap() media.Source { return m.Source }

func (m muted) Run(ctx context.Context, out media.Sink) error { return m.Source.Run(ctx, silence{out}) }

// silence is a sink that lets only video through.
type silence struct{ out media.Sink }

func (s silence) Tracks(tracks []media.Track) {
	s.out.Tracks(slices.DeleteFunc(slices.Clone(tracks), func(t media.Track) bool { return !t.Codec.Video() }))
}

func (s silence) Note(text string) { media.Note(s.out, text) }

func (s silence) Write(f *media.Frame) {
	if f.Codec.Video() {
		s.out.Write(f)
	}
}

func (s *source) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.wg.Go(func() { s.hub.Run(ctx) })
	if s.sub != nil {
		s.wg.Go(func() { s.sub.Run(ctx) })
	}
}

func (s *source) stop() {
	s.cancel()
	s.wg.Wait()
}

// publicURL returns a source's URL without its secrets. Of a command it returns only the program, since arguments may
// hold a password.
func publicURL(raw string) string {
	if command, ok := strings.CutPrefix(raw, "exec:"); ok {
		program, _, _ := strings.Cut(strings.TrimSpace(command), " ")
		return "exec:" + program
	}
	return redact.Text(raw)
}

// jittered returns a random wait between a quarter of the step and the step, which doubles from first to most.
func jittered(first, most time.Duration, n int) time.Duration {
	step := most
	if n < 20 {
		step = min(first<<(n-1), most)
	}
	return step/4 + rand.N(step*3/4)
}

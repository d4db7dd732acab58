package slate

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

const look = 500 * time.Millisecond // from one look at the switch to the next

// Privacy wraps a source with a switch: while that is on the source does not run, and a slate says so. Times go on
// across it.
func Privacy(src media.Source, by Switch, log *slog.Logger) media.Source {
	return &private{src: src, by: by, log: log}
}

type private struct {
	src media.Source
	by  Switch
	log *slog.Logger
	tracksOf
}

// tracksOf is what the source had when it ran last.
type tracksOf struct {
	mu     sync.Mutex // guards the field below
	tracks []media.Track
}

func (t *tracksOf) set(tracks []media.Track) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tracks = slices.Clone(tracks)
}

func (t *tracksOf) get() []media.Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tracks
}

// Unwrap implements media.Wrapper.
func (p *private) Unwrap() media.Source { return p.src }

// Run runs the source or the slate, whichever the switch wants, until ctx is done or the source fails.
func (p *private) Run(ctx context.Context, out media.Sink) error {
	line := &timeline{p: p, out: out, begin: time.Now()}
	for {
		on := p.by.Why() != ""
		flipped, err := p.until(ctx, on, line)
		if !flipped || ctx.Err() != nil {
			return err
		}
		p.log.Info("privacy switch", "on", !on, "by", p.by.Why())
	}
}

// until runs one of the two until the switch is flipped, or until it ends.
func (p *private) until(ctx context.Context, on bool, line *timeline) (flipped bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	line.next()
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(look)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if p.by.Why() != "" != on {
					flipped = true
					cancel()
					return
				}
			}
		}
	})
	if on {
		err = p.show(ctx, line)
	} else {
		err = p.src.Run(ctx, line)
	}
	cancel()
	wg.Wait()
	return flipped, err
}

// show shows the slate in the codec of the source, as far as that is known, since viewers have negotiated it.
func (p *private) show(ctx context.Context, line *timeline) error {
	line.slate = true
	defer func() { line.slate = false }()
	return Like(Private, p.get()).Run(ctx, line)
}

// timeline is the sink of the one that runs: it moves its times behind those of the one before.
type timeline struct {
	p     *private
	out   media.Sink
	begin time.Time
	slate bool // what runs is the slate; set while nothing runs

	base    time.Duration
	started bool
	last    time.Duration
}

func (t *timeline) next() { t.started = false }

// Tracks keeps the sound of the source announced while the slate runs: it comes back.
func (t *timeline) Tracks(tracks []media.Track) {
	if !t.slate {
		t.p.set(tracks)
	} else {
		for _, old := range t.p.get() {
			if !old.Codec.Video() {
				tracks = append(slices.Clone(tracks), old)
			}
		}
	}
	t.out.Tracks(tracks)
}

func (t *timeline) Note(text string) { media.Note(t.out, text) }

func (t *timeline) Write(f *media.Frame) {
	if !t.started {
		t.started = true
		t.base = max(time.Since(t.begin), t.last) - f.PTS
	}
	moved := *f
	moved.PTS = max(0, f.PTS+t.base)
	t.last = max(t.last, moved.PTS)
	t.out.Write(&moved)
}

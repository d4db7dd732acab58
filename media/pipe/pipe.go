// Package pipe is a source that plays what a command writes to its standard output: ffmpeg, GStreamer, rpicam-vid, or
// anything else.
//
//	command --stdout--> demux (Annex B, IVF, Ogg, MPEG-TS, fragmented MP4) --units--> es.Writer --frames--> sink
//	        --stderr--> log, at a bounded rate
//
// The command is the operator's, from the config file and from nowhere else: there is no shell, and no way to it from a
// network. It runs in a process group of its own, which is gone when Run returns: asked to end, and killed when it does
// not.
package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// Options says what to run. Command is needed.
type Options struct {
	// Command gives the command line, program first, when Run begins: a preset looks at the host's devices then.
	Command func(ctx context.Context) ([]string, error)

	// Name is how logs and errors call the source: a command line may hold passwords. Default: the program.
	Name string

	// Stall is how long there may be no picture, once there was one, before the command is ended; 0 is for ever. A
	// driver that hangs does not wake up by itself.
	Stall time.Duration

	// Foreign lets sound through that browsers do not take, for Transcode to make Opus of. Otherwise it is left out,
	// and the log says so.
	Foreign bool

	// Control gives the command a pipe as descriptor 3 (KVSAGENT_CONTROL_FD=3), on which each line is a wish:
	// "keyframe".
	Control bool

	Log *slog.Logger // nil is slog.Default
}

// Source plays one command. Make it with New.
type Source struct {
	o       Options
	silence es.Silence
	control *control // nil when the command takes no wishes
}

// New checks the options and starts nothing. With a control pipe the source is a media.KeyFramer.
func New(o Options) (media.Source, error) {
	if o.Command == nil {
		return nil, errors.New("exec source without a command")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Control {
		return controlled{&Source{o: o, control: &control{}}}, nil
	}
	return &Source{o: o}, nil
}

// Line is the Command of Options for a command line that is always the same.
func Line(args ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return args, nil }
}

// Error is why a command could not be played, or no longer.
type Error struct {
	Name string
	Err  error
	Hint string // may be empty
	slow bool
}

func (e *Error) Error() string {
	text := fmt.Sprintf("exec source %s: %v", e.Name, e.Err)
	if e.Hint != "" {
		text += "; hint: " + e.Hint
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Slow says that trying again will not help until somebody has changed something.
func (e *Error) Slow() bool { return e.slow }

// Run runs the command until ctx is done or its output ends, as media.Source says.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	err := s.run(ctx, out)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *Source) run(ctx context.Context, out media.Sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	args, err := s.o.Command(ctx)
	if err != nil {
		return &Error{Name: s.o.Name, Err: err}
	}
	name := s.o.Name
	if name == "" && len(args) > 0 {
		name = args[0]
	}
	wishes, shut, err := s.control.open()
	if err != nil {
		return &Error{Name: name, Err: err}
	}
	defer shut()
	p, err := start(args, nil, wishes, s.o.Log.With("command", name))
	if wishes != nil {
		_ = wishes.Close() // the command has its own
	}
	if err != nil {
		return &Error{Name: name, Err: err, slow: true}
	}
	// A blocked read knows no context: the end of the process ends it.
	stop := context.AfterFunc(ctx, p.end)
	stall := s.watch(p)
	err = s.play(ctx, p.stdout, out, stall)
	if stall.over() {
		err = errStalled
	}
	if errors.Is(err, io.EOF) {
		p.settle()
	}
	stop()
	p.end()
	return s.explain(name, err, p)
}

// explain returns why the output ended. When the command went by itself, its own words are the best.
func (s *Source) explain(name string, err error, p *process) error {
	e := &Error{Name: name, Err: err}
	if _, ok := errors.AsType[*es.ProfileError](err); ok {
		e.Hint, e.slow = "add -pix_fmt yuv420p -profile:v baseline to the encoder's options", true
	}
	switch {
	case errors.Is(err, errStalled):
		e.Err, e.Hint = fmt.Errorf("%w for %v", err, s.o.Stall), "the device hangs; dmesg tells more"
	case errors.Is(err, io.EOF):
		e.Err, e.Hint = p.result(), saysHint(p.last())
	case errors.Is(err, es.ErrBFrames):
		e.Hint, e.slow = "add -bf 0 to the encoder's options", true
	case errors.Is(err, es.ErrNoKey):
		e.Hint = "add -g 50, or let the camera send key frames (I-frames) more often"
	case errors.Is(err, demux.ErrFormat):
		e.Hint, e.slow = "end the command with -f mpegts -, or see which formats are known", true
		if last := p.last(); last != "" {
			e.Err = fmt.Errorf("%w; it says: %s", err, last)
		}
	}
	return e
}

// play reads the output.
func (s *Source) play(ctx context.Context, r io.Reader, out media.Sink, stall *stall) error {
	stream, err := demux.Open(r)
	if err != nil {
		return err
	}
	tracks := s.choose(stream, out)
	if len(tracks) == 0 {
		return fmt.Errorf("its sound is %s, which browsers do not take, and there is no video",
			stream.Tracks()[0].Codec)
	}
	w := es.NewWriter(out, tracks...)
	pace := newPacer(ctx)
	defer pace.stop()
	for {
		u, err := stream.Next()
		if err != nil {
			return err
		}
		stall.fed(u.Codec.Video())
		if err := pace.wait(u.PTS, u.Codec.Video(), stream.Rate()); err != nil {
			return err
		}
		if err := w.Write(u.Codec, u.PTS, time.Now(), u.Data); err != nil {
			return err
		}
	}
}

// choose leaves out sound that nobody can hear, unless somebody makes it into such that can be heard.
func (s *Source) choose(stream demux.Stream, out media.Sink) []media.Track {
	if s.o.Foreign {
		return stream.Tracks()
	}
	return s.silence.Audible(stream.Tracks(), out, s.o.Log, "add -c:a libopus to the command")
}

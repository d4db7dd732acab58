// Package pipe is a source that plays the standard output of a command: ffmpeg, GStreamer, rpicam-vid, or anything
// else.
//
//	command --stdout--> demux (Annex B, IVF, Ogg, MPEG-TS, fragmented MP4) --units--> es.Writer --frames--> sink
//	        --stderr--> log, at a limited rate
//
// The command is the operator's, from the config file and from nowhere else: there is no shell, and no network input in
// it. It runs in a process group of its own, which is gone when Run returns: the command is asked to end, and killed if
// it does not.
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

// Options says what to run. Command is required.
type Options struct {
	// Command returns the command line, program first. It is called when Run begins, since a preset then looks at the
	// host's devices.
	Command func(ctx context.Context) ([]string, error)

	// Name is the name of the source in logs and errors, since a command line may hold passwords. Default: the program.
	Name string

	// Stall ends the command when there was no picture for that long, once there has been one; 0 never does. A driver
	// that hangs does not recover by itself.
	Stall time.Duration

	// Foreign lets through audio that browsers cannot play, for Transcode. Otherwise it is left out and the log says
	// so.
	Foreign bool

	// Control gives the command a pipe as descriptor 3 (KVSAGENT_CONTROL_FD=3). Each line on it is a request:
	// "keyframe".
	Control bool

	// Env are variables for the command, besides PATH, HOME, USER, LANG, LC_*, TZ, TMPDIR and KVSAGENT_* of our own.
	Env map[string]string

	Log *slog.Logger // nil means slog.Default
}

// Source plays one command. Make it with New.
type Source struct {
	o       Options
	silence es.Silence
	control *control // nil when the command takes no requests
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

// Line returns the Command of Options for a fixed command line.
func Line(args ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return args, nil }
}

// Error is why a command could not be played, or stopped.
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

// Slow reports that a retry will not help until something was changed.
func (e *Error) Slow() bool { return e.slow }

// Run runs the command until ctx is done or its output ends, as media.Source requires.
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
	p, err := start(args, nil, wishes, s.o.Env, s.o.Log.With("command", name))
	if wishes != nil {
		_ = wishes.Close() // the command has its own
	}
	if err != nil {
		return &Error{Name: name, Err: err, slow: true}
	}
	// A context does not interrupt a blocked read: ending the process does.
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

// explain returns why the output ended. When the command ended by itself, its own words are the best reason.
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
	tracks := s.silence.Choose(stream.Tracks(), s.o.Foreign, out, s.o.Log, "add -c:a libopus to the command")
	if len(tracks) == 0 {
		return fmt.Errorf("its sound is %s, which browsers cannot play, and there is no video",
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

package pipe

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/internal/outage"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// How much audio waits for the transcoder, and how often the transcoder is started.
const (
	soundQueue = 128             // frames; more than two seconds
	soundRetry = 5 * time.Second // after ffmpeg has ended by itself
)

// Transcode wraps a source whose audio may be foreign (AAC, for example) and converts that to Opus with ffmpeg. Video
// passes unchanged. Without ffmpeg there is no sound, and the log says so.
func Transcode(src media.Source, log *slog.Logger) media.Source {
	return &transcoder{src: src, log: log, program: "ffmpeg"}
}

type transcoder struct {
	src     media.Source
	log     *slog.Logger
	program string
	once    sync.Once
}

// Unwrap implements media.Wrapper.
func (t *transcoder) Unwrap() media.Source { return t.src }

// Run runs the source, and ffmpeg beside it while its audio is foreign.
func (t *transcoder) Run(ctx context.Context, out media.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &sound{t: t, ctx: ctx, out: out, frames: make(chan *media.Frame, soundQueue)}
	err := t.src.Run(ctx, s)
	cancel()
	s.wg.Wait()
	return err
}

// sound is the sink between a source and its transcoder.
type sound struct {
	t      *transcoder
	ctx    context.Context // of the run
	frames chan *media.Frame
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the fields below, and serialises calls of the sink
	out     media.Sink
	foreign media.Codec   // the codec that is transcoded; "" means none
	fed     time.Duration // duration of the audio that ffmpeg got in its current run
	end     time.Duration // PTS at the end of it

	failures outage.Series // of ffmpeg, for the log; owned by run
}

// Tracks replaces a foreign audio track with Opus.
func (s *sound) Tracks(tracks []media.Track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tracks = slices.Clone(tracks)
	for i, track := range tracks {
		if !es.Foreign(track.Codec) {
			continue
		}
		if _, err := exec.LookPath(s.t.program); err != nil {
			s.t.once.Do(func() {
				s.t.log.Warn("source has no sound: its audio codec needs ffmpeg to become Opus; hint: apt-get "+
					"install ffmpeg", "codec", track.Codec)
			})
			media.Note(s.out, fmt.Sprintf("no sound: %s needs ffmpeg to become Opus; hint: apt-get install ffmpeg",
				track.Codec))
			tracks = slices.Delete(tracks, i, i+1)
			break
		}
		tracks[i] = media.Track{Codec: media.Opus, Channels: 2}
		if s.foreign == "" {
			s.foreign = track.Codec
			s.wg.Go(func() { s.run(track.Codec) })
		}
		break
	}
	s.out.Tracks(tracks)
}

// Note passes on the source's notes.
func (s *sound) Note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	media.Note(s.out, text)
}

// Write passes a frame on, or to the transcoder. When the transcoder's queue is full the frame is lost.
func (s *sound) Write(f *media.Frame) {
	if !es.Foreign(f.Codec) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out.Write(f)
		return
	}
	select {
	case s.frames <- f:
	default:
	}
}

// run keeps ffmpeg running until the run is over.
func (s *sound) run(codec media.Codec) {
	for s.ctx.Err() == nil {
		err := s.transcode(codec)
		if s.ctx.Err() != nil {
			return
		}
		if s.failures.Failed(time.Now(), fmt.Sprint(err)) {
			s.t.log.Warn("ffmpeg for sound has ended", "err", err, "tries", s.failures.Tries(), "retry", soundRetry)
		}
		t := time.NewTimer(soundRetry)
		select {
		case <-s.ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// transcode returns one run of ffmpeg.
func (s *sound) transcode(codec media.Codec) error {
	in, to, err := os.Pipe()
	if err != nil {
		return err
	}
	args := slices.Concat([]string{s.t.program, "-hide_banner", "-nostats", "-loglevel", "warning", "-fflags",
		"nobuffer",
		"-probesize", "2048", "-analyzeduration", "0"}, es.FFmpegFormat(codec),
		[]string{"-i", "pipe:0", "-c:a", "libopus", "-application", "lowdelay", "-frame_duration", "20", "-ac", "2",
			"-ar", "48000",
			"-b:a", "64k", "-f", "ogg", "-page_duration", "20000", "-flush_packets", "1", "pipe:1"})
	p, err := start(args, in, nil, nil, s.t.log.With("command", s.t.program))
	_ = in.Close()
	if err != nil {
		_ = to.Close()
		return err
	}
	s.mu.Lock()
	s.fed = 0
	s.mu.Unlock()

	// ffmpeg does not notice that it should end while it waits for input.
	stop := context.AfterFunc(s.ctx, func() { _ = to.Close(); p.end() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.feed(codec, to, p.gone) })
	err = s.collect(p)
	p.end()
	_ = to.Close()
	wg.Wait()
	if s.ctx.Err() == nil && p.err != nil {
		return p.result()
	}
	return err
}

// feed writes frames to ffmpeg.
func (s *sound) feed(codec media.Codec, to *os.File, gone <-chan struct{}) {
	for {
		select {
		case <-gone:
			return
		case f := <-s.frames:
			if f.Codec != codec {
				continue
			}
			s.mu.Lock()
			for _, b := range f.Data {
				d := es.Duration(codec, b)
				s.fed += d
				s.end = f.PTS + d
			}
			s.mu.Unlock()
			for _, b := range f.Data {
				if _, err := to.Write(b); err != nil {
					return
				}
			}
		}
	}
}

// collect passes on ffmpeg's output. Times count back from the end of ffmpeg's input, so that lost audio shifts
// nothing.
func (s *sound) collect(p *process) error {
	stream, err := demux.Open(p.stdout)
	if err != nil {
		return err
	}
	for {
		u, err := stream.Next()
		if err != nil {
			return err
		}
		s.mu.Lock()
		pts := max(0, s.end-(s.fed-u.PTS))
		s.out.Write(&media.Frame{Codec: media.Opus, PTS: pts, Captured: time.Now(), Data: u.Data})
		s.mu.Unlock()
	}
}

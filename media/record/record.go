// Package record writes the frames of a source to a file that players can play: H.264 and Opus in fragmented MP4
// (ISO/IEC 14496-12).
//
//	Write(frame) -> queue -> goroutine: muxer -> ftyp moov, then moof mdat, moof mdat, ... -> file
//
// The moov is written at the first key frame, and a fragment at least every two seconds of media. A recording cut short
// by a crash or a full disk is playable up to its last complete fragment.
package record

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/kvsagent/kvsagent/media"
)

// Limits of the queue for the disk. Beyond them frames are dropped, video up to the next key frame.
const (
	maxQueued      = 512      // frames
	maxQueuedBytes = 32 << 20 // payload bytes
)

// ErrNothing is what Close returns, wrapped, when no frame could be recorded. The empty file is removed.
var ErrNothing = errors.New("nothing recorded")

var _ media.Sink = (*Writer)(nil)

// Writer is one recording. It is a media.Sink; make it with Create. After Close, or after Err has returned an error, it
// ignores frames.
type Writer struct {
	// Log receives a line about each track that MP4 cannot hold and about frames that the disk was too slow for. Set it
	// before the first call of Tracks; nil means slog.Default.
	Log *slog.Logger

	path  string
	queue chan item
	done  chan struct{} // closed when the goroutine has ended

	queued  atomic.Int64 // payload bytes that wait for the disk
	dropped atomic.Uint64
	frames  atomic.Uint64

	mu     sync.Mutex // guards the fields below
	closed bool
	err    error // the first one
	// skipVideo is set after a video frame was dropped: the frames up to the next key frame cannot be decoded.
	skipVideo bool
}

// item is an element of the queue: new tracks or a frame.
type item struct {
	tracks []media.Track
	frame  *media.Frame
}

// Create creates or truncates the file at path (mode 0640) and starts a recording, which the caller ends with Close.
func Create(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("record: %w; hint: the directory must exist and be writable", err)
	}
	return newWriter(path, f), nil
}

func newWriter(path string, out io.WriteCloser) *Writer {
	w := &Writer{path: path, queue: make(chan item, maxQueued), done: make(chan struct{})}
	go w.run(out)
	return w
}

// Tracks announces the tracks. H.264 and Opus are recorded; anything else is left out with a log line.
func (w *Writer) Tracks(tracks []media.Track) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	select {
	case w.queue <- item{tracks: append([]media.Track(nil), tracks...)}:
	default: // cannot happen unless hundreds of frames wait; the previous tracks stay
		w.dropped.Add(1)
	}
}

// Write records one frame. It never blocks and never touches the disk: a frame that finds the queue full is dropped and
// counted, and so is the video up to the next key frame.
func (w *Writer) Write(f *media.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.err != nil {
		return
	}
	video := f.Codec.Video()
	if video && w.skipVideo && !f.Key {
		w.dropped.Add(1)
		return
	}
	size := int64(f.Size())
	if w.queued.Load()+size <= maxQueuedBytes {
		w.queued.Add(size)
		select {
		case w.queue <- item{frame: f}:
			if video {
				w.skipVideo = false
			}
			return
		default:
			w.queued.Add(-size)
		}
	}
	w.dropped.Add(1)
	if video && !w.skipVideo {
		w.skipVideo = true
		w.log().Warn("recording drops frames: the disk is too slow", "file", w.path)
	}
}

// Close writes the rest, closes the file and returns the first error of the recording. It waits for the disk. Later
// calls return the same.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.done
	return w.Err()
}

// Err returns the first error of the recording so far, such as a full disk; nil if there is none.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Frames returns how many frames were recorded, including those of the unwritten fragment.
func (w *Writer) Frames() uint64 { return w.frames.Load() }

// Dropped returns how many frames were lost because the disk was too slow.
func (w *Writer) Dropped() uint64 { return w.dropped.Load() }

// run owns the file.
func (w *Writer) run(out io.WriteCloser) {
	defer close(w.done)
	m := &muxer{out: out}
	for it := range w.queue {
		if it.frame == nil {
			m.tracks(it.tracks, w.log())
			continue
		}
		w.record(m, it.frame)
		w.queued.Add(-int64(it.frame.Size()))
	}
	if w.Err() == nil {
		w.fail(m.finish())
	}
	w.fail(out.Close())
	if w.Err() == nil && !m.started() {
		w.fail(fmt.Errorf("%w: no key frame came", ErrNothing))
		w.fail(os.Remove(w.path))
	}
}

// record passes one frame to the muxer. After an error it only drains the queue.
func (w *Writer) record(m *muxer, f *media.Frame) {
	if w.Err() != nil {
		return
	}
	recorded, err := m.write(f)
	if recorded {
		w.frames.Add(1)
	}
	w.fail(err)
}

// fail keeps the first error.
func (w *Writer) fail(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = fmt.Errorf("record %s: %w", w.path, err)
	}
}

func (w *Writer) log() *slog.Logger {
	if w.Log == nil {
		return slog.Default()
	}
	return w.Log
}

package main

import (
	"bytes"
	"io"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What may wait to be written: a journal that is slow for a moment loses nothing.
const (
	logLines = 2048
	logBytes = 1 << 20
)

// asyncLog passes log lines on to a writer that may block or fail. Write never waits: who logs may hold a lock. When
// too much waits, lines are dropped and counted, and the count is written once there is room.
type asyncLog struct {
	to      io.Writer
	lines   chan []byte
	bytes   atomic.Int64 // of lines
	dropped atomic.Uint64
	writing atomic.Int64 // since when a line is being written, in Unix nanoseconds; 0: none is
	closing sync.Once
	done    chan struct{}
}

func newAsyncLog(to io.Writer) *asyncLog {
	signal.Ignore(unix.SIGPIPE) // the reader of the log may go, and that is no reason to end
	l := &asyncLog{to: to, lines: make(chan []byte, logLines), done: make(chan struct{})}
	go l.run()
	return l
}

// Write implements io.Writer. It takes whole lines.
func (l *asyncLog) Write(text []byte) (int, error) {
	line := bytes.Clone(text)
	if l.bytes.Add(int64(len(line))) > logBytes {
		l.drop(line)
		return len(text), nil
	}
	select {
	case l.lines <- line:
	default:
		l.drop(line)
	}
	return len(text), nil
}

func (l *asyncLog) drop(line []byte) {
	l.bytes.Add(-int64(len(line)))
	l.dropped.Add(1)
}

func (l *asyncLog) run() {
	defer close(l.done)
	for line := range l.lines {
		if line == nil {
			return
		}
		l.writing.Store(time.Now().UnixNano())
		_, _ = l.to.Write(line) // a log that is gone is nobody's to tell
		l.bytes.Add(-int64(len(line)))
		if n := l.dropped.Swap(0); n > 0 {
			_, _ = l.to.Write(lostNote(line, n, time.Now()))
		}
		l.writing.Store(0)
	}
}

// Stuck returns for how long the newest line has been waited for by what reads the log; 0 means that nobody waits.
func (l *asyncLog) Stuck(now time.Time) time.Duration {
	since := l.writing.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
}

// Close writes what waits, for a moment at most. Lines that come later are lost.
func (l *asyncLog) Close() {
	l.closing.Do(func() {
		select {
		case l.lines <- nil:
		case <-time.After(logClose):
		}
	})
	select {
	case <-l.done:
	case <-time.After(logClose):
	}
}

// logClose is how long the end of the process waits for the log.
const logClose = time.Second

package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// pipe is a writer whose reader may stop reading.
type pipe struct {
	mu   sync.Mutex // held while the reader does not read; guards text
	text bytes.Buffer
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// TestLogNeverWaits: nobody reads, and who logs goes on. What was lost is counted once somebody reads again.
func TestLogNeverWaits(t *testing.T) {
	p := &pipe{}
	l := newAsyncLog(p)
	p.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3 * logLines {
			fmt.Fprintf(l, "level=INFO msg=%d\n", i)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		p.mu.Unlock()
		t.Fatal("who logs waits for who reads")
	}
	p.mu.Unlock()
	l.Close()
	text := p.text.String()
	var lost int
	if _, after, ok := strings.Cut(text, "log lines were dropped"); !ok {
		t.Fatal("nobody is told what was lost")
	} else if _, err := fmt.Sscanf(after[strings.Index(after, "lines="):], "lines=%d", &lost); err != nil {
		t.Fatal(err)
	}
	if kept := strings.Count(text, "level=INFO"); kept+lost != 3*logLines || lost < logLines {
		t.Errorf("%d lines were kept and %d counted as lost, of %d", kept, lost, 3*logLines)
	}
}

// TestLogIsBoundedInBytes: long lines fill it sooner.
func TestLogIsBoundedInBytes(t *testing.T) {
	p := &pipe{}
	l := newAsyncLog(p)
	p.mu.Lock()
	line := append(bytes.Repeat([]byte("x"), 64<<10), '\n')
	for range 100 {
		_, _ = l.Write(line)
	}
	waiting := len(l.lines)
	p.mu.Unlock()
	l.Close()
	if waiting > logBytes/len(line)+1 {
		t.Errorf("%d lines of 64 KiB wait", waiting)
	}
}

// TestLogClosesThoughNobodyReads: the end of the process does not hang on its log.
func TestLogClosesThoughNobodyReads(t *testing.T) {
	p := &pipe{}
	l := newAsyncLog(p)
	p.mu.Lock()
	fmt.Fprintln(l, "level=INFO")
	began := time.Now()
	l.Close()
	stuck := l.Stuck(time.Now())
	p.mu.Unlock()
	if stuck <= 0 {
		t.Error("nobody reads, and the log says that it goes on")
	}
	if took := time.Since(began); took > 10*logClose {
		t.Errorf("closing took %v", took)
	}
	<-l.done
	if stuck := l.Stuck(time.Now()); stuck != 0 {
		t.Errorf("the log is written, and says that it waits, for %v", stuck)
	}
}

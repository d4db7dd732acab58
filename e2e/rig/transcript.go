package rig

import (
	"bytes"
	"strings"
	"sync"
)

// Transcript is what a process has written to one stream so far.
type Transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (w *Transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// String is all that was written so far.
func (w *Transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// Lines returns those that contain every one of the words.
func (w *Transcript) Lines(words ...string) []string {
	var found []string
next:
	for line := range strings.Lines(w.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		found = append(found, strings.TrimSpace(line))
	}
	return found
}

// Tail keeps a log readable.
func Tail(text string) string {
	const most = 12000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}

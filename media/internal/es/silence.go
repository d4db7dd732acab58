package es

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/kvsagent/kvsagent/media"
)

// Silence says why a source has no sound: to the hub each time it runs, in the log once. The zero value is ready.
type Silence struct{ once sync.Once }

// Tell says that browsers do not take codec, and what to do: hint, or audio: transcode.
func (s *Silence) Tell(out media.Sink, log *slog.Logger, codec, hint string) {
	media.Note(out, fmt.Sprintf("no sound: browsers do not take %s; hint: %s, or set audio: transcode", codec, hint))
	s.once.Do(func() {
		log.Warn("source has no sound: its audio codec cannot be sent to browsers; hint: "+hint+", or set audio: transcode", "codec", codec)
	})
}

// Audible leaves the tracks out that browsers do not take, and tells so.
func (s *Silence) Audible(tracks []media.Track, out media.Sink, log *slog.Logger, hint string) []media.Track {
	var audible []media.Track
	for _, t := range tracks {
		if Foreign(t.Codec) {
			s.Tell(out, log, string(t.Codec), hint)
			continue
		}
		audible = append(audible, t)
	}
	return audible
}

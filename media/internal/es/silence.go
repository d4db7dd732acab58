package es

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/kvsagent/kvsagent/media"
)

// Silence reports why a source has no sound: to the hub in each run, and to the log once. The zero value is ready.
type Silence struct{ once sync.Once }

// Tell reports that browsers cannot play codec, and the remedy: hint, or audio: transcode.
func (s *Silence) Tell(out media.Sink, log *slog.Logger, codec, hint string) {
	media.Note(out, fmt.Sprintf("no sound: browsers do not take %s; hint: %s, or set audio: transcode", codec, hint))
	s.once.Do(func() {
		log.Warn("source has no sound: its audio codec cannot be sent to browsers; "+
			"hint: "+hint+", or set audio: transcode", "codec", codec)
	})
}

// Choose leaves out audio that browsers cannot play, and reports that, unless foreign is set: then it will be
// transcoded.
func (s *Silence) Choose(
	tracks []media.Track, foreign bool, out media.Sink, log *slog.Logger, hint string,
) []media.Track {
	if foreign {
		return tracks
	}
	return s.Audible(tracks, out, log, hint)
}

// Audible removes the tracks that browsers cannot play, and reports that.
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

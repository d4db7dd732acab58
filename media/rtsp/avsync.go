package rtsp

import (
	"github.com/pion/rtcp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
	"github.com/kvsagent/kvsagent/media/internal/lipsync"
)

// avSync aligns the audio of a session with its video.
type avSync struct {
	picture, sound lipsync.Clock
	sync           lipsync.Sync
}

// report handles an RTCP packet of a track.
func (ss *session) report(clock *lipsync.Clock, pkt rtcp.Packet) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if r, ok := pkt.(*rtcp.SenderReport); ok {
		clock.Report(r)
	}
}

// showPicture and playSound pass frames on. The caller holds the lock.
func (ss *session) showPicture(f *media.Frame, stamp uint32) {
	ss.doubt(ss.avSync.sync.Picture(f.PTS, ss.avSync.picture.At(stamp)))
	if note := ss.keys.frame(f.Key, f.Captured); note != "" {
		media.Note(ss.out, note)
		ss.s.once("rtsp key frames are seldom: who comes late waits for the next one; hint: "+hintKey,
			"url", ss.s.address())
	}
	ss.out.Write(f)
}

func (ss *session) playSound(f *media.Frame, stamp uint32) {
	var err error
	f.PTS, err = ss.avSync.sync.Sound(f.PTS, ss.avSync.sound.At(stamp))
	ss.doubt(err)
	ss.out.Write(f)
}

// doubt logs once why sender reports are not followed.
func (ss *session) doubt(err error) {
	if err != nil {
		ss.s.once("rtsp sender reports are not followed; picture and sound are aligned by when they come",
			"url", ss.s.address(), "err", err)
	}
}

// watchRates corrects clocks that run at the wrong rate, and says so.
func (ss *session) watchRates() {
	picture := ss.video.rate()
	picture.Found = ss.wrongRate(ss.video, &ss.avSync.picture)
	if ss.audio == nil {
		return
	}
	sound := ss.audio.rate()
	sound.Found = ss.wrongRate(ss.audio, &ss.avSync.sound)
	picture.Other, sound.Other = sound, picture
}

// wrongRate returns what to do when the clock of a track runs so many times as fast as time.
func (ss *session) wrongRate(track stream, clock *lipsync.Clock) func(times float64) {
	return func(times float64) {
		clock.Times = times
		es.TellRate(ss.out, ss.s.log.With("url", ss.s.address()), track.track().Codec, times)
	}
}

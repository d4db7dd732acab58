package rtsp

import (
	"github.com/pion/rtcp"

	"github.com/kvsagent/kvsagent/media"
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

package peer

import (
	"time"

	"github.com/kvsagent/kvsagent/peer/fanout"
)

// Report is a connection at one moment.
type Report struct {
	State         State
	Offered       bool // we made the first offer; else the remote did
	Began         time.Time
	Stages        Stages
	Local, Remote string        // types of the chosen candidates: host, srflx, prflx, relay
	RTT           time.Duration // by the remote's receiver reports, before the first by ICE
	Jitter        time.Duration // of the arrival of our pictures, by the remote's receiver reports
	Direct        bool          // what we send goes straight into the shared socket, not through Pion
	Level         fanout.Level
	Moves         uint64               // from one level to another
	Estimate      float64              // bit/s that the path carries, as far as is known; 0 is not
	Behind        time.Duration        // that a picture waits, here and in the path's queue
	Sending       []fanout.TrackReport // the tracks there are now
	Sent          uint64               // bytes of media, of tracks that have given way, too
	Receiving     []fanout.TrackReport
	Unasked       uint64 // bytes of media that came though we asked for none, and were thrown away
}

// Report tells how the connection is.
func (c *Conn) Report() (r Report) {
	defer c.guard.Contain("report")
	r = c.progress.report()
	l := c.current()
	c.outgoing.report(&r)
	if l == nil {
		return r
	}
	if l.receiver != nil {
		for _, s := range l.receiver.Report() {
			r.Receiving = append(r.Receiving, fanout.TrackReport{
				Track: s.Track, Packets: s.Packets, Lost: s.Lost, Frames: s.Frames, KeyFrames: s.KeyFrames, Bytes: s.Bytes,
				FPS: s.FPS, Bitrate: s.Bitrate,
			})
		}
	}
	r.Unasked = l.inbound.UnaskedBytes()
	if r.State != Negotiating {
		r.path(l)
	}
	return r
}

// path fills in the chosen candidate pair.
func (r *Report) path(l *link) {
	if pair := l.pair(); pair != nil {
		r.Local, r.Remote = pair.Local.Typ.String(), pair.Remote.Typ.String()
	}
	stats, ok := l.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if ok && r.RTT == 0 {
		r.RTT = time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
	}
}

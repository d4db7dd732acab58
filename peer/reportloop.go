package peer

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"
)

// reportLoop sends sender reports, the first at once, and adapts to what the remote tells of its path, to
// what the levels become, and once a second in any case, until ctx is done.
func reportLoop(ctx context.Context, pc *webrtc.PeerConnection, s *sender) {
	defer s.contain("report loop")
	defer s.keepSub(false)
	s.guard.at("report loop")
	report := time.NewTimer(reportEvery / 20) // the first frames are on their way
	defer report.Stop()
	for {
		_, changed := s.b.current(Main)
		s.adapt(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-s.news:
			continue
		case <-changed: // of whatever level: the viewer may take its codec now, or no longer
			continue
		case <-report.C:
			report.Reset(reportEvery)
		}
		if reports := s.reports(time.Now()); len(reports) > 0 && pc.WriteRTCP(reports) != nil {
			return
		}
	}
}

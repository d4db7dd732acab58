package peer

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"
)

// reportLoop sends sender reports, the first at once, and adapts to what the remote tells of its path, until ctx is done.
func reportLoop(ctx context.Context, pc *webrtc.PeerConnection, s *sender) {
	defer s.contain("report loop")
	defer s.keepSub(false)
	s.guard.at("report loop")
	report := time.NewTimer(reportEvery / 20) // the first frames are on their way
	defer report.Stop()
	s.adapt(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.news:
			s.adapt(ctx, time.Now())
			continue
		case <-report.C:
			report.Reset(reportEvery)
		}
		if reports := s.reports(time.Now()); len(reports) > 0 && pc.WriteRTCP(reports) != nil {
			return
		}
	}
}

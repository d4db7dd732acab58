package fanout

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"
)

// ReportLoop sends sender reports, the first at once, and adapts to what the remote tells of its path, to
// what the levels become, and once a second in any case, until ctx is done.
func ReportLoop(ctx context.Context, pc *webrtc.PeerConnection, s *Sender) {
	defer s.Contain("report loop")
	defer s.keepSub(false)
	s.Guard.At("report loop")
	report := time.NewTimer(reportEvery / 20) // the first frames are on their way
	defer report.Stop()
	for {
		_, changed := s.b.Current(Main)
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

package rtsp

import "time"

// pace is how seldom the pictures of a camera come: one each ten seconds is no camera that stands still.
type pace struct {
	started bool
	stamp   uint32        // RTP timestamp of the last packet
	at      time.Time     // when the first packet of that picture came
	longest time.Duration // between two pictures of late; 0 before the second one
}

// packet takes a video packet that came in at now.
func (p *pace) packet(stamp uint32, now time.Time) {
	if p.started && stamp == p.stamp {
		return
	}
	if p.started {
		p.longest = max(now.Sub(p.at), p.longest*7/8, 1)
	}
	p.started, p.stamp, p.at = true, stamp, now
}

// limit returns how long to wait for the next packet: timeout, or three times the pace. Before the second picture there
// is no pace, and the wait is twice the timeout.
func (p *pace) limit(timeout time.Duration) time.Duration {
	if p.longest == 0 {
		return 2 * timeout
	}
	return max(timeout, min(3*p.longest, stallMost))
}

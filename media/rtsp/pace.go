package rtsp

import "time"

// pace measures how seldom the pictures of a camera come: a camera with one picture every ten seconds is not stalled.
type pace struct {
	started bool
	stamp   uint32        // RTP timestamp of the last packet
	at      time.Time     // when the first packet of that picture came
	longest time.Duration // longest recent time between two pictures; 0 before the second one
}

// packet records a video packet that arrived at now.
func (p *pace) packet(stamp uint32, now time.Time) {
	if p.started && stamp == p.stamp {
		return
	}
	if p.started {
		p.longest = max(now.Sub(p.at), p.longest*7/8, 1)
	}
	p.started, p.stamp, p.at = true, stamp, now
}

// limit returns how long to wait for the next packet: timeout, or three times the interval. Before the second picture
// there is no interval, and the wait is twice the timeout.
func (p *pace) limit(timeout time.Duration) time.Duration {
	if p.longest == 0 {
		return 2 * timeout
	}
	return max(timeout, min(3*p.longest, stallMost))
}

package fanout

import (
	"errors"
	"io"
	"net"
	"sync/atomic"

	"github.com/pion/interceptor"
)

// RTCPSource is a webrtc.RTPSender as far as its reports go.
type RTCPSource interface {
	Read([]byte) (int, interceptor.Attributes, error)
}

// RTCPReader reads what Pion has of a remote's reports on one section, as long as the section is there. Whoever sends
// there now gets them: a change of senders waits for nobody, though the one before may be busy with a report.
type RTCPReader struct {
	To atomic.Pointer[Sender]
}

// rtcpMost is the longest compound packet that is read. Browsers keep theirs within a datagram.
const rtcpMost = 1500

// Run reads until the section ends. A packet that cannot be parsed is skipped: those behind it are as good as before.
func (r *RTCPReader) Run(from RTCPSource) {
	buf := make([]byte, rtcpMost)
	for {
		n, _, err := from.Read(buf)
		switch {
		case err == nil:
			r.hand(buf[:n])
		case rtcpEnded(err):
			return
		}
	}
}

func (r *RTCPReader) hand(compound []byte) {
	s := r.To.Load()
	defer s.Contain("rtcp reader")
	s.Guard.At("rtcp reader")
	s.OnReports(compound, nil)
}

// rtcpEnded tells the end of a stream from a packet that Pion's readers did not understand.
func rtcpEnded(err error) bool {
	var timeout net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &timeout)
}

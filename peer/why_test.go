package peer

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/rtcerr"
)

// TestWhyItIsOver: Pion has closed the connection while we wanted something of it. The reason is why it did so.
func TestWhyItIsOver(t *testing.T) {
	closed := &rtcerr.InvalidStateError{Err: webrtc.ErrConnectionClosed}
	flood, alert := errors.New("the remote sent too much"), errors.New("the certificate is another's")
	for _, tt := range []struct {
		name       string
		err        error
		guard, tls error // what we found wrong, and what DTLS did
		connected  bool
		want       error
	}{
		{"another error", flood, nil, alert, false, flood},
		{"the remote has gone", fmt.Errorf("set local answer: %w", closed), nil, nil, true, ErrEnded},
		{"within an offer", &RefusedError{fmt.Errorf("offer not understood: %w", closed)}, nil, nil, true, ErrEnded},
		{"a closed pipe", fmt.Errorf("add candidate: %w", io.ErrClosedPipe), nil, nil, true, ErrEnded},
		{"we ended it", closed, flood, nil, true, flood},
		{"the handshake", closed, nil, alert, false, alert},
		{"a handshake of long ago", closed, nil, alert, true, ErrEnded},
	} {
		c := &Conn{guard: &contain.Guard{Wake: func() {}}}
		l := &link{handshake: make(chan error, 1)}
		if tt.tls != nil {
			l.handshake <- tt.tls
		}
		c.setLink(l)
		if tt.connected {
			c.progress.reached(func(st *Stages) *time.Duration { st.Connected = time.Second; return &st.Connected })
		}
		if tt.guard != nil {
			c.guard.Fail(tt.guard)
		}
		if got := trueReason(c, tt.err); !errors.Is(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

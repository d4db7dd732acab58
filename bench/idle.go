package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/bench/load"
)

// Idle is an agent with one channel, a camera and no viewer.
type Idle struct {
	Core     float64 `json:"core"`        // share of a core
	Resident float64 `json:"resident_mb"` // at the end
	Own      float64 `json:"own_mb"`      // of that; the rest is clean pages of the program, which the kernel may drop
	Camera   int64   `json:"camera"`      // connections to the camera
	Binary   float64 `json:"binary_mb"`   // stripped
}

// measureIdle watches an agent that has nothing to do.
func (h *harness) measureIdle(ctx context.Context) (i Idle, err error) {
	var camera atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return i, err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			camera.Add(1)
			c.Close()
		}
	}()
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	s, err := h.startAgentWith(starting, fmt.Sprintf("{url: %q}", "rtsp://"+l.Addr().String()+"/stream"), 10)
	if err != nil {
		return i, err
	}
	defer s.stop()
	if err := load.Sleep(ctx, h.o.Settle); err != nil {
		return i, err
	}
	before, err := s.used()
	if err != nil {
		return i, err
	}
	began := time.Now()
	if err := load.Sleep(ctx, h.o.Window); err != nil {
		return i, err
	}
	after, err := s.used()
	if err != nil {
		return i, err
	}
	info, err := os.Stat(h.agent)
	if err != nil {
		return i, err
	}
	return Idle{
		Core:     (after.user + after.system - before.user - before.system).Seconds() / time.Since(began).Seconds(),
		Resident: float64(after.resident) / 1e6, Own: float64(after.own) / 1e6, Camera: camera.Load(),
		Binary: float64(info.Size()) / 1e6,
	}, nil
}

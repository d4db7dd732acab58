package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kvsagent/kvsagent/bench/load"
)

// gop is how far the clip's key frames are apart.
const gop = 2 * time.Second

// measureJoins lets viewers come one after another. Some leave at once, at their first packet: they tell what joining
// costs, without the media that a server sends while its viewer waits for a key frame. Others come at random moments
// and wait for it: they tell how long that takes.
func (h *harness) measureJoins(ctx context.Context, kind string) (Joins, error) {
	j := Joins{Server: kind, Joins: h.o.Joins}
	s, err := h.startServer(ctx, kind, 2*h.o.Joins+2) // those that leave are there for a moment
	if err != nil {
		return j, err
	}
	defer s.stop()
	if _, err := h.comeAndGo(ctx, s, "first", load.Options{}); err != nil { // pays for what all share
		return j, err
	}
	if err := h.measureJoinCost(ctx, s, &j); err != nil {
		return j, err
	}
	var took []float64
	for i := range h.o.Joins {
		if err := load.Sleep(ctx, rand.N(gop)); err != nil {
			return j, err
		}
		v, err := h.comeAndGo(ctx, s, fmt.Sprint("wait-", i), load.Options{})
		if err != nil {
			return j, err
		}
		took = append(took, ms(v.FirstFrame()))
	}
	j.FirstFrame, j.Load = quantiles(took), loadAverage()
	return j, nil
}

func (h *harness) measureJoinCost(ctx context.Context, s *server, j *Joins) error {
	idle, err := h.idle(ctx, s)
	if err != nil {
		return err
	}
	before, err := s.used()
	if err != nil {
		return err
	}
	began := time.Now()
	var packets uint64
	for i := range h.o.Joins {
		next := began.Add(time.Duration(float64(i+1) / s.rate * float64(time.Second)))
		v, err := h.comeAndGo(ctx, s, fmt.Sprint("haste-", i), load.Options{Hasty: true})
		if err != nil {
			return err
		}
		packets += v.Received()
		if err := load.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	after, err := s.used()
	if err != nil {
		return err
	}
	cpu := after.user + after.system - before.user - before.system - time.Duration(idle*float64(time.Since(began)))
	j.CPU, j.Packets = ms(cpu)/float64(h.o.Joins), float64(packets)/float64(h.o.Joins)
	return nil
}

func (h *harness) comeAndGo(ctx context.Context, s *server, id string, o load.Options) (*load.Viewer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	o.Signaling, o.Delay = s.signaling, h.o.RTT/2
	v, err := load.Join(ctx, id, o)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.complaints())
	}
	v.Close()
	return v, nil
}

// idle is the share of a core that a server uses with its source and without viewers.
func (h *harness) idle(ctx context.Context, s *server) (float64, error) {
	const long = 3 * time.Second
	if err := load.Sleep(ctx, time.Second); err != nil { // the last viewer's end
		return 0, err
	}
	before, err := s.used()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := load.Sleep(ctx, long); err != nil {
		return 0, err
	}
	after, err := s.used()
	return (after.user + after.system - before.user - before.system).Seconds() / time.Since(began).Seconds(), err
}

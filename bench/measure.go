package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/bench/load"
)

const (
	joinWithin = 30 * time.Second
	warmUp     = time.Second // of a server before its first viewer
	sampled    = 8           // viewers that decrypt to the end
	mostErrors = 5           // kept of each run
)

// measure runs one server with n viewers.
func (h *harness) measure(ctx context.Context, kind string, n int) (Run, error) {
	m := Run{Server: kind, Viewers: n}
	s, err := h.startServer(ctx, kind, n)
	if err != nil {
		return m, err
	}
	defer s.stop()
	if err := load.Sleep(ctx, warmUp); err != nil {
		return m, err
	}
	before, err := s.used()
	if err != nil {
		return m, err
	}
	viewers, err := h.join(ctx, s, n, &m)
	defer leave(viewers)
	if err != nil {
		return m, fmt.Errorf("%w\n%s", err, s.complaints())
	}
	if err := load.Sleep(ctx, h.o.Settle); err != nil {
		return m, err
	}
	narrow := h.narrow(ctx, viewers)
	windows, err := h.watch(ctx, s, viewers, h.o.Window, &m)
	narrow()
	if err != nil {
		return m, err
	}
	after, err := s.used()
	if err != nil {
		return m, err
	}
	m.Resident = float64(after.resident-before.resident) / 1024 / float64(len(viewers))
	m.Total = float64(after.resident) / 1024 / 1024
	m.Load = loadAverage()
	m.take(windows)
	if h.o.Sub && kind == Agent {
		m.checkMoves(windows)
	}
	return m, nil
}

const (
	subWindow = 20 * time.Second // in which a viewer goes down and comes up again
	narrowBy  = 1e6              // bit/s
)

// narrow narrows the paths of those that decrypt for the first quarter of the window, when there is a smaller stream.
// The function returned waits for the end of that.
func (h *harness) narrow(ctx context.Context, viewers []*load.Viewer) (wait func()) {
	if !h.o.Sub {
		return func() {}
	}
	var work sync.WaitGroup
	work.Go(func() {
		for _, v := range viewers {
			v.Narrow(narrowBy)
		}
		_ = load.Sleep(ctx, h.o.Window/4)
		for _, v := range viewers {
			v.Narrow(0)
		}
	})
	return work.Wait
}

// checkMoves: every viewer that can tell has gone down. When it comes up again is a matter of its probes.
func (m *Run) checkMoves(windows []load.Window) {
	for i, w := range windows {
		if w.Decrypted && w.Switches == 0 {
			m.complain(fmt.Errorf("viewer %d did not move to the smaller stream", i))
		}
	}
}

// join lets n viewers in, at the pace that the signaling takes. The first comes alone: it knows every key frame that
// the others get.
func (h *harness) join(ctx context.Context, s *server, n int, m *Run) ([]*load.Viewer, error) {
	first, err := h.joinOne(ctx, s, 0, n, 0)
	if err != nil {
		return nil, err
	}
	viewers, errs := make([]*load.Viewer, n), make([]error, n)
	viewers[0] = first
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		if err = load.Sleep(ctx, time.Duration(float64(time.Second)/s.rate)); err != nil {
			break
		}
		wg.Go(func() { viewers[i], errs[i] = h.joinOne(ctx, s, i, n, 0) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			m.Failed++
			m.complain(err)
		}
	}
	viewers = slices.DeleteFunc(viewers, func(v *load.Viewer) bool { return v == nil })
	var took []float64
	for _, v := range viewers {
		took = append(took, ms(v.FirstFrame()))
	}
	m.FirstFrame = quantiles(took)
	return viewers, err
}

func (h *harness) joinOne(ctx context.Context, s *server, i, n int, poll time.Duration) (*load.Viewer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	return load.Join(ctx, fmt.Sprintf("bench-%d", i), load.Options{
		Signaling: s.signaling, Decrypt: i == 0 || i*sampled/n != (i-1)*sampled/n, Loss: h.o.Loss, RTX: h.o.RTX,
		TWCC: h.o.TWCC, PLI: h.o.PLI,
		Poll: poll, Delay: h.o.RTT / 2, Book: h.book,
	})
}

func leave(viewers []*load.Viewer) {
	var wg sync.WaitGroup
	for _, v := range viewers {
		wg.Go(v.Close)
	}
	wg.Wait()
}

// watch measures one window.
func (h *harness) watch(ctx context.Context, s *server, viewers []*load.Viewer, window time.Duration,
	m *Run) ([]load.Window, error) {
	for _, v := range viewers {
		v.Begin(window)
	}
	runtime.GC() // ours, before and not meanwhile
	own, began := ownCPU(), time.Now()
	before, err := s.used()
	if err != nil {
		return nil, err
	}
	if err := load.Sleep(ctx, window); err != nil {
		return nil, err
	}
	after, err := s.used()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.complaints())
	}
	took := time.Since(began)
	m.ClientCore = (ownCPU() - own).Seconds() / took.Seconds()
	windows := make([]load.Window, len(viewers))
	for i, v := range viewers {
		windows[i] = v.End()
	}
	user, system := after.user-before.user, after.system-before.system
	m.CPU = ms(user+system) / took.Seconds() / float64(len(viewers))
	m.User = ms(user) / took.Seconds() / float64(len(viewers))
	m.Waited = (after.waited - before.waited).Seconds() / took.Seconds()
	m.Core = (user + system).Seconds() / took.Seconds()
	return windows, nil
}

// take sums up what the viewers saw.
func (m *Run) take(windows []load.Window) {
	var mbit []float64
	var lost, packets uint64
	for i, w := range windows {
		mbit = append(mbit, float64(w.Bytes)*8/1e6/w.Took.Seconds())
		m.Packets += float64(w.Packets) / w.Took.Seconds() / float64(len(windows))
		lost, packets = lost+w.Lost, packets+w.Packets
		m.Skipped += w.Skipped
		m.Late += w.Late
		m.Asked += w.Asked
		m.RTX += w.Again
		m.TWCC += w.Feedback
		m.Checked += w.Pictures
		m.Moved += w.Switches
		m.ClientLost += w.Dropped
		for _, err := range w.Errors() {
			m.complain(fmt.Errorf("viewer %d: %w", i, err))
		}
	}
	rates := spread(mbit)
	m.Median, m.Worst = rates.Median, rates.Min
	if packets > 0 {
		m.Lost = float64(lost) / float64(lost+packets)
	}
	l, err := load.Latencies(windows)
	if err != nil {
		m.complain(err)
	}
	m.Packet, m.Frame = quantiles(l.Packets), quantiles(l.Frames)
}

func (m *Run) complain(err error) {
	if len(m.Errors) < mostErrors {
		m.Errors = append(m.Errors, err.Error())
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func loadAverage() float64 {
	var one float64
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, err = fmt.Sscan(string(text), &one)
	}
	if err != nil {
		return 0
	}
	return one
}

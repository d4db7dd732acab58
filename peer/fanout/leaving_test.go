package fanout

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
)

// fanOut is a broadcast with viewers in one shard.
type fanOut struct {
	b       *Broadcast
	viewers []*viewer
	last    map[*viewer]uint16 // the number of the packet that was read last
}

func newFanOut(t *testing.T, n int) *fanOut {
	t.Helper()
	f := &fanOut{b: NewBroadcast(media.NewHub(media.HubOptions{}), nil), last: map[*viewer]uint16{}}
	out := udpbatch.New(socket(t))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var detach []func()
	for range n {
		v := newViewer(t, out, 65_500)
		f.viewers = append(f.viewers, v)
		f.last[v] = 65_499
		detach = append(detach, f.b.Attach(v.s))
		running.Go(func() { _ = v.s.Run(ctx, f.b.Promote) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		for _, d := range detach {
			d()
		}
		for _, h := range f.b.shards {
			h.wait()
		}
	})
	write(f.b, 0, 1)
	f.expect(t, 0, f.viewers...)
	for _, v := range f.viewers {
		for !v.s.inShard() {
			time.Sleep(time.Millisecond)
		}
	}
	return f
}

// expect reads a frame, whose packets must come in the order of their numbers, behind all before.
func (f *fanOut) expect(t *testing.T, frame int, viewers ...*viewer) {
	t.Helper()
	for _, v := range viewers {
		for marker := false; !marker; {
			p := v.read(t)
			if want := f.last[v] + 1; p.SequenceNumber != want {
				t.Fatalf("frame %d: packet %d comes where %d is due", frame, p.SequenceNumber, want)
			}
			if p.Payload[len(p.Payload)-1] != byte(frame) {
				t.Fatalf("packet %d is one of frame %d, want %d", p.SequenceNumber, p.Payload[len(p.Payload)-1], frame)
			}
			f.last[v], marker = p.SequenceNumber, p.Marker
		}
	}
}

// within fails when do takes long.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s waits for a shard that writes", what)
	}
}

// TestNobodyWaitsForAShardThatWrites has a shard stand still in the middle of a frame, as it does while a socket's
// buffer is full. The camera goes on, viewers come, leave the shard and ask for packets. What the shard has begun for a
// viewer that has left arrives whole and in order all the same.
func TestNobodyWaitsForAShardThatWrites(t *testing.T) {
	f := newFanOut(t, 3)
	leaver, h, frame := f.viewers[0], f.b.shards[0], 10
	for begun := false; !begun; {
		write(f.b, frame, 1) // a key frame, of three parts
		h.leaving.Lock()
		for i := 0; i < 1000 && !begun; i++ {
			h.leaving.Unlock()
			time.Sleep(10 * time.Microsecond)
			h.leaving.Lock()
			leaver.s.mu.Lock()
			begun = leaver.s.open.p != nil
			leaver.s.mu.Unlock()
		}
		if !begun {
			h.leaving.Unlock()
			f.expect(t, frame, f.viewers...)
			frame += 10
		}
	}
	goOn := sync.OnceFunc(h.leaving.Unlock)
	defer goOn()
	within(t, "leaving", func() { f.b.Demote(leaver.s) })
	within(t, "the camera", func() { write(f.b, frame+1, 1) })
	within(t, "a NACK", func() {
		f.viewers[1].s.onRTCP(&rtcp.TransportLayerNack{MediaSSRC: 4711,
			Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{65_501})}, nil)
	})
	within(t, "a new viewer", func() { f.b.Attach(newViewer(t, udpbatch.New(socket(t)), 0).s)() })
	if p := f.viewers[1].read(t); p.SequenceNumber != f.last[f.viewers[1]]+1 {
		if p.SequenceNumber != 65_501 {
			t.Errorf("the answer to the NACK is packet %d", p.SequenceNumber)
		}
	} else {
		f.last[f.viewers[1]]++ // a first part, before the answer
	}
	leaver.s.mu.Lock()
	queued := len(leaver.s.queue)
	leaver.s.mu.Unlock()
	goOn()
	if queued == 0 {
		t.Error("the viewer that has left sends before the shard has written")
	}
	f.expect(t, frame, leaver, f.viewers[2])
	f.expect(t, frame+1, leaver, f.viewers[2])
	write(f.b, frame+2, 3)
	for i := range 3 {
		f.expect(t, frame+2+i, leaver, f.viewers[2])
	}
}

// TestViewersThatComeAndGoKeepTheirOrder takes viewers out of their shard at any time, and lets them come back.
func TestViewersThatComeAndGoKeepTheirOrder(t *testing.T) {
	f := newFanOut(t, 4)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(i%7) * 300 * time.Microsecond):
				f.b.Demote(f.viewers[i%3].s)
			}
		}
	}()
	for i := 1; i < 80; i++ {
		write(f.b, i, 1)
		f.expect(t, i, f.viewers...)
	}
	close(stop)
	<-stopped
	for _, v := range f.viewers {
		if n := v.s.dropped[media.H264].total(); n != 0 {
			t.Errorf("%d frames dropped", n)
		}
	}
}

// TestArenaWritesOnlyWhenItIsTold: packets come into it under locks.
func TestArenaWritesOnlyWhenItIsTold(t *testing.T) {
	to := socket(t)
	d := &wire.Direct{Out: udpbatch.New(socket(t)), To: to.LocalAddr().(*net.UDPAddr).AddrPort()}
	a := wire.NewArena(4000)
	const packets = 64
	size := func(i int) int { return 1000 - max(0, i-packets/2) }
	for i := range packets {
		b := append(a.Slot(1000), bytes.Repeat([]byte{byte(i)}, size(i))...)
		a.Commit(d, b)
	}
	if !a.Full() {
		t.Error("an arena that had to grow is not full")
	}
	_ = to.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	buf := make([]byte, 1500)
	if n, err := to.Read(buf); err == nil {
		t.Fatalf("%d bytes were written before the arena was told to", n)
	}
	a.Flush()
	_ = to.SetReadDeadline(time.Now().Add(5 * time.Second))
	for i := range packets {
		n, err := to.Read(buf)
		if err != nil || n != size(i) || buf[0] != byte(i) || buf[n-1] != byte(i) {
			t.Fatalf("packet %d: %d bytes of %d, %v", i, n, buf[0], err)
		}
	}
}

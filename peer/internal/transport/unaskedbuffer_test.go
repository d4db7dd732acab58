package transport

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5/packetio"
)

// TestUnaskedMediaEndsAtTheSocket: of a connection that receives nothing, Pion gets a packet now and then, by which it
// hears that the path is alive.
func TestUnaskedMediaEndsAtTheSocket(t *testing.T) {
	media := append([]byte{0x80, 96}, make([]byte, 98)...)
	i := newDemuxed(t)
	i.send(i.remote, media)
	i.next(media, i.remote)
	for range 3 {
		i.send(i.remote, media)
	}
	i.send(i.remote, last)
	i.next(last, i.remote)
	if got := i.fast.in.unasked.bytes.Load(); got != 300 {
		t.Errorf("%d bytes were thrown away, want 300", got)
	}
	i.fast.media = i.fast.media.Add(-passEvery)
	i.send(i.remote, media)
	i.next(media, i.remote)
	i.fast.in.Receive = true
	for range 2 {
		i.send(i.remote, media)
		i.next(media, i.remote)
	}
	other := socket(t)
	i.fast.in.Receive = false
	i.send(other, media)
	i.next(media, other)
}

// TestUnaskedStreamTooMany keeps Pion's reader waiting, until the stream, the connection or Pion's end of it ends.
func TestUnaskedStreamTooMany(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(in *Inbound, b *unaskedBuffer, gone *atomic.Bool)
	}{
		{"the stream ends", func(_ *Inbound, b *unaskedBuffer, _ *atomic.Bool) { _ = b.Close() }},
		{"we end the connection", func(in *Inbound, _ *unaskedBuffer, _ *atomic.Bool) { in.End() }},
		{"pion ends it", func(_ *Inbound, _ *unaskedBuffer, gone *atomic.Bool) { gone.Store(true) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var gone, done atomic.Bool
				in := &Inbound{limits: Limits{}.Filled(), fail: func(err error) { t.Error(err) }}
				in.unasked.over, in.unasked.gone = make(chan struct{}), gone.Load
				for ssrc := range uint32(unaskedStreams) {
					b := in.Buffer(packetio.RTPBufferPacket, ssrc)
					if n, err := b.Write(make([]byte, 100)); n != 100 || err != nil {
						t.Fatalf("Write = %d, %v", n, err)
					}
				}
				b := in.Buffer(packetio.RTPBufferPacket, unaskedStreams).(*unaskedBuffer)
				go func() { _, _ = b.Write(make([]byte, 100)); done.Store(true) }()
				time.Sleep(time.Hour)
				synctest.Wait()
				if done.Load() {
					t.Error("the reader goes on")
				}
				tt.end(in, b, &gone)
				time.Sleep(goneEvery)
				synctest.Wait()
				if !done.Load() {
					t.Error("the reader waits")
				}
				if got := in.unasked.bytes.Load(); got != 100*(unaskedStreams+1) {
					t.Errorf("%d bytes were counted", got)
				}
			})
		})
	}
}

// TestUnaskedFloodIsToldOnce: it ends nothing.
func TestUnaskedFloodIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		in := &Inbound{limits: Limits{Bitrate: 8000}.Filled(), fail: func(err error) { t.Error(err) }}
		in.unasked.flood = func() { told++ }
		for range 5 {
			in.throwAway(1000)
		}
		if told != 0 {
			t.Error("it was told of though it is within the limit")
		}
		for range 10 {
			in.throwAway(10_000)
			time.Sleep(unaskedWindow)
		}
		in.throwAway(1)
		if told != 1 {
			t.Errorf("it was told of %d times, want once", told)
		}
	})
}

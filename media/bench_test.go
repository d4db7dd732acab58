package media_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/kvsagent/kvsagent/media"
)

// loop is a source that writes as fast as it may.
type loop struct{ each func(write func()) }

func (l loop) Run(_ context.Context, out media.Sink) error {
	f := &media.Frame{Codec: media.H264, Data: [][]byte{make([]byte, 17_000)}, Key: true}
	out.Tracks([]media.Track{{Codec: media.H264}})
	l.each(func() {
		f.PTS++
		out.Write(f)
	})
	return nil
}

type nowhere struct{}

func (nowhere) Tracks([]media.Track) {}
func (nowhere) Write(*media.Frame)   {}

// BenchmarkHubWrite measures the cost of a frame from the source to the subscribers.
func BenchmarkHubWrite(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d sinks", n), func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			src := loop{func(write func()) {
				defer cancel()
				b.ReportAllocs()
				for b.Loop() {
					write()
				}
			}}
			h := media.NewHub(media.HubOptions{Source: src})
			for range n {
				defer h.Subscribe(nowhere{})()
			}
			h.Run(ctx)
		})
	}
}

package fanout

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtp"
)

// arrivals notes when packets of a track leave.
type arrivals struct {
	mu   sync.Mutex // guards the field below
	seen []time.Time
}

func (a *arrivals) WriteRTP(*rtp.Header, []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, time.Now())
	return 0, nil
}

func (a *arrivals) Write(b []byte) (int, error) { return len(b), nil }

// TestSoundPassesALargePicture: a key frame of 1.5 MB takes seconds through a relay. Sound that comes meanwhile does
// not wait for its end.
func TestSoundPassesALargePicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBroadcast(media.NewHub(media.HubOptions{}), nil)
		video, audio := NewTrack(media.H264), NewTrack(media.Opus)
		pictures, sound := &arrivals{}, &arrivals{}
		video.w, audio.w = pictures, sound
		s := NewSender(b, []*Track{video, audio}, nil)
		s.Start(Relayed, "192.0.2.1", Main)
		st := b.streams[Main]
		st.Tracks([]media.Track{{Codec: media.H264}, {Codec: media.Opus}})
		ctx, cancel := context.WithCancel(t.Context())
		defer b.Attach(s)()
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx, func(*Sender) {}) }()

		large := keyFrame(media.H264, time.Second)
		large.Data[len(large.Data)-1] = append([]byte{0x65}, make([]byte, 3<<19)...)
		st.Write(large)
		var written []time.Time
		for i := range 50 {
			time.Sleep(20 * time.Millisecond)
			written = append(written, time.Now())
			st.Write(&media.Frame{
				Codec: media.Opus, PTS: time.Second + time.Duration(i)*20*time.Millisecond, Captured: time.Now(),
				Data: [][]byte{{1, 2, 3}},
			})
		}
		time.Sleep(10 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		took := pictures.seen[len(pictures.seen)-1].Sub(pictures.seen[0])
		if took < 2*time.Second || len(sound.seen) != len(written) {
			t.Fatalf("the picture took %v, and %d of %d packets of sound left", took, len(sound.seen), len(written))
		}
		for i, at := range sound.seen {
			if late := at.Sub(written[i]); late > 100*time.Millisecond {
				t.Errorf("packet %d of the sound left %v late", i, late)
			}
		}
	})
}

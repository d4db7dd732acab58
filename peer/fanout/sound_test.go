package fanout

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
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

// TestSoundPassesALargePictureInAShard has sound come while a shard sends a picture of 1.9 MB in parts: it leaves
// between two of them. A viewer that leaves the shard meanwhile gets each sound once.
func TestSoundPassesALargePictureInAShard(t *testing.T) {
	b := NewBroadcast(media.NewHub(media.HubOptions{}), nil)
	out := udpbatch.New(socket(t))
	audio := NewTrack(media.Opus)
	v := newViewer(t, out, 100)
	audio.w, audio.ssrc, audio.pt, audio.next = nowhere{t}, 4712, 111, 1000
	direct := v.s.direct
	v.s = NewSender(b, []*Track{v.s.video, audio}, nil)
	v.s.SetDirect(direct)
	ctx, cancel := context.WithCancel(t.Context())
	defer b.Attach(v.s)()
	var running sync.WaitGroup
	running.Go(func() { _ = v.s.Run(ctx, b.Promote) })
	defer running.Wait()
	defer cancel()
	write(b, 0, 1)
	for !v.s.inShard() {
		time.Sleep(time.Millisecond)
	}
	large := keyFrame(media.H264, time.Second)
	large.Data[len(large.Data)-1] = append([]byte{0x65}, make([]byte, 1900<<10)...)
	st := b.streams[Main]
	const sounds = 5
	written := make(chan struct{})
	go func() {
		defer close(written)
		st.Write(large)
		for i := range sounds {
			st.Write(&media.Frame{Codec: media.Opus, PTS: time.Second + time.Duration(i)*20*time.Millisecond,
				Captured: time.Now(), Data: [][]byte{{1, 2, 3}}})
			if i == sounds/2 {
				b.Demote(v.s)
			}
		}
	}()
	defer func() { <-written }()
	var heard []uint16
	pictures := 0 // packets, of the large one and the one before it
	for ends := 0; ends < 2; {
		p := v.read(t)
		switch {
		case p.SSRC == audio.ssrc:
			heard = append(heard, p.SequenceNumber)
		case p.Marker:
			ends++
		default:
			pictures++
		}
	}
	if pictures < 1500 {
		t.Fatalf("%d packets of the picture", pictures)
	}
	if !slices.Equal(heard, []uint16{1000, 1001, 1002, 1003, 1004}) {
		t.Errorf("before the end of the picture came the sounds %d, want 1000 to 1004, each once", heard)
	}
}

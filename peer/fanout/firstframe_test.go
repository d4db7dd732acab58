package fanout

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtcp"
)

// TestTheFirstPictureIsAKeyFrame: nothing is cached when a viewer comes, and the source is in the middle of its
// pictures. Sound goes through; the first picture that leaves is a key frame, which begins with its parameter sets. A
// shard does likewise.
func TestTheFirstPictureIsAKeyFrame(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := hubs(false)
			video, sound := NewTrack(media.H264), NewTrack(media.PCMU)
			s := NewSender(b, []*Track{video, sound}, nil)
			s.Start(Near, "", Main)
			defer b.Attach(s)()
			out := &sinkhole{}
			video.w, sound.w = out, out
			st := b.streams[Main]
			give := func(f *media.Frame) {
				if !shared {
					st.Write(f)
					out.first = append(out.first, drain(t, s)...)
					return
				}
				p, err := st.packetiser.packetise(f)
				if err != nil {
					t.Fatal(err)
				}
				b.number++
				p.number = b.number
				s.mu.Lock()
				s.joined = true
				_, ok := s.sharedPart(p, 0, len(p.payloads), time.Now())
				s.mu.Unlock()
				if ok {
					out.first = append(out.first, p.payloads[0].appendTo(nil)[0])
				}
			}
			for i := range 5 {
				give(deltaFrame(media.H264, time.Duration(i)*time.Second))
			}
			if len(out.first) != 0 {
				t.Errorf("shared %v: pictures that begin with %x left before a key frame", shared, out.first)
			}
			give(&media.Frame{Codec: media.PCMU, PTS: 6 * time.Second, Captured: time.Now(), Data: [][]byte{{0xd5}}})
			give(keyFrame(media.H264, 7*time.Second))
			give(deltaFrame(media.H264, 8*time.Second))
			const stapA, sps = 24, 7
			if len(out.first) < 3 || out.first[0] != 0xd5 || out.first[1]&0x1f != stapA && out.first[1]&0x1f != sps {
				t.Errorf("shared %v: packets begin with %x, want sound, and a picture with its parameter sets", shared,
					out.first)
			}
			if n := s.dropped[media.H264][dropStart]; n != 5 {
				t.Errorf("shared %v: %d pictures are counted as left out at the start, want 5", shared, n)
			}
		})
	}
}

// TestKeyFramesOnRequestAreThrottled: a viewer that asks all the time is heard once a second, and is sent the cached
// key frame once more only when the one before is old enough to have been seen, and each only once.
func TestKeyFramesOnRequestAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubs(false)
		track := NewTrack(media.H264)
		track.ssrc, track.rtxSSRC, track.twcc = 1, 2, 3
		s := NewSender(b, []*Track{track}, nil)
		s.Start(Near, "", Main)
		defer b.Attach(s)()
		st := b.streams[Main]
		st.Write(keyFrame(media.H264, 0))
		drain(t, s) // takes a second
		// The start has arrived: one that the remote missed is another matter, see firststart_test.go.
		s.OnFeedback(feedbackFrom(0, 1))
		keys := func(during, every time.Duration) (n uint64) {
			before := s.meters[media.H264].KeyFrames
			for range int(during / every) {
				s.onRTCP(&rtcp.PictureLossIndication{}, nil)
				drainNow(t, s)
				time.Sleep(every)
			}
			return s.meters[media.H264].KeyFrames - before
		}
		if n := keys(repeatAfter-time.Second-100*time.Millisecond, 20*time.Millisecond); n != 0 {
			t.Errorf("a key frame that has just left was sent %d times more", n)
		}
		if n := keys(10*time.Second, 20*time.Millisecond); n != 1 {
			t.Errorf("a key frame was sent %d times more in 10 s of requests, want 1", n)
		}
		st.Write(keyFrame(media.H264, 20*time.Second))
		drainNow(t, s)
		time.Sleep(2 * repeatAfter)
		if n := keys(10*time.Second, 20*time.Millisecond); n != 1 {
			t.Errorf("the next key frame was sent %d times more in 10 s of requests, want 1", n)
		}
	})
}

// obliging is a source that makes a key frame when it is asked to.
type obliging struct{ asked int }

func (o *obliging) Run(ctx context.Context, _ media.Sink) error { <-ctx.Done(); return nil }

func (o *obliging) RequestKeyFrame() { o.asked++ }

// TestASourceIsAskedForKeyFramesSeldom: what one viewer asks for reaches the source once a second, which is half as
// often as the source may be asked by all.
func TestASourceIsAskedForKeyFramesSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &obliging{}
		b := NewBroadcast(media.NewHub(media.HubOptions{Source: source}), nil)
		s := NewSender(b, []*Track{NewTrack(media.H264)}, nil)
		s.Start(Near, "", Main)
		defer b.Attach(s)()
		for range 500 {
			s.onRTCP(&rtcp.PictureLossIndication{}, nil)
			time.Sleep(20 * time.Millisecond)
		}
		if source.asked < 9 || source.asked > 11 {
			t.Errorf("in 10 s of requests the source was asked for %d key frames, want one a second", source.asked)
		}
	})
}

package fanout

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// TestChoose has a row for each pair of levels, and a column for each thing that may be known of the path: nothing but
// its class, or what the ladder makes of it. A cell is the target; "main>sub" begins with main pictures until the
// smaller stream has a key frame, and "!" is whatever the path carries.
func TestChoose(t *testing.T) {
	columns := []Circumstances{{class: Near}, {class: Far}, {class: Relayed}, {tried: true, path: Main},
		{tried: true, path: Sub}}
	seen := map[string]bool{}
	for _, row := range strings.Split(strings.TrimSpace(`
main     sub           near   far    relayed   carries-main carries-sub
unknown  absent        main!  main!  main!     main!        main!
fits     absent        main!  main!  main!     main!        main!
fitsnot  absent        main!  main!  main!     main!        main!
unknown  fitsnot       main!  main!  main!     main!        main!
fits     fitsnot       main!  main!  main!     main!        main!
fitsnot  fitsnot       main!  main!  main!     main!        main!
unknown  unknown       main   main   main>sub  main         main>sub
fits     unknown       main   main   main>sub  main         main>sub
fitsnot  unknown       sub!   sub!   sub!      sub!         sub!
unknown  fits          main   main   main>sub  main         main>sub
fits     fits          main   main   main>sub  main         main>sub
fitsnot  fits          sub!   sub!   sub!      sub!         sub!
unknown  fits,warm     main   sub    sub       main         sub
fits     fits,warm     main   sub    sub       main         sub
fitsnot  fits,warm     sub!   sub!   sub!      sub!         sub!
`), "\n")[1:] {
		f := strings.Fields(row)
		state := func(name string) LevelState {
			fit := map[string]codecFit{"unknown": fitUnknown, "fits": fits, "fitsnot": fitsNot}
			name, warm := strings.CutSuffix(name, ",warm")
			return LevelState{There: name != "absent", Fit: fit[name], warm: warm}
		}
		seen[f[0]+" "+f[1]] = true
		for i, c := range columns {
			// Which changes nothing: the main stream's next key frame is waited for.
			for _, mainWarm := range []bool{false, true} {
				c.Levels = [2]LevelState{state(f[0]), state(f[1])}
				c.Levels[Main].warm = mainWarm
				d := Choose(c)
				got := d.Target.String()
				if d.begin != d.Target {
					got = d.begin.String() + ">" + got
				}
				if d.fixed {
					got += "!"
				}
				if want := f[2+i]; got != want {
					t.Errorf("main %s, sub %s, %+v: %s, want %s", f[0], f[1], c, got, want)
				}
			}
		}
	}
	if len(seen) != 15 {
		t.Errorf("%d rows, want 15", len(seen))
	}
}

// TestAViewerNeverGetsALevelThatItCannotTake goes through all circumstances there are.
func TestAViewerNeverGetsALevelThatItCannotTake(t *testing.T) {
	n := 0
	for bits := range 1 << 4 {
		for _, main := range []codecFit{fitUnknown, fits, fitsNot} {
			for _, sub := range []codecFit{fitUnknown, fits, fitsNot} {
				for class := Near; class <= Relayed; class++ {
					c := Circumstances{class: class, tried: bits&1 != 0, path: Level(bits >> 1 & 1)}
					c.Levels[Main] = LevelState{There: true, Fit: main, warm: main == fits}
					c.Levels[Sub] = LevelState{There: bits&4 != 0, Fit: sub, warm: sub == fits && bits&8 != 0}
					n++
					d := Choose(c)
					for _, l := range []Level{d.Target, d.begin} {
						other := c.Levels[Sub-l]
						if x := c.Levels[l]; (!x.There || x.Fit == fitsNot) && other.There && other.Fit == fits {
							t.Errorf("%+v: %+v, and the other level could be had", c, d)
						}
						if !c.Levels[l].There {
							t.Errorf("%+v: %+v is not there", c, d)
						}
					}
				}
			}
		}
	}
	t.Logf("%d circumstances", n)
}

// TestWarmSubOfAnotherCodec: the usual camera gives H.265, and a smaller stream in H.264, which runs because a browser
// without H.265 watches. A viewer comes with whom H.265 was negotiated, or H.264 alone, and each gets what it takes
// from the first picture on.
func TestWarmSubOfAnotherCodec(t *testing.T) {
	for _, class := range []PathClass{Near, Far, Relayed} {
		for codec, want := range map[media.Codec]Level{media.H265: Main, media.H264: Sub} {
			t.Run(fmt.Sprint(class, codec), func(t *testing.T) {
				b := hubs(true)
				main, sub := b.streams[Main], b.streams[Sub]
				main.Tracks([]media.Track{{Codec: media.H265}})
				sub.Tracks([]media.Track{{Codec: media.H264}})
				write := func(pts time.Duration) {
					main.Write(keyFrame(media.H265, pts))
					sub.Write(keyFrame(media.H264, pts))
				}
				write(0)
				s := NewSender(b, []*Track{NewTrack(codec)}, nil)
				s.Start(class, "192.0.2.1", Main)
				defer b.Attach(s)()
				defer s.keepSub(false)
				write(time.Second)
				s.adapt(t.Context(), time.Now())
				write(2 * time.Second)
				if level, target := s.levels(); level != want || target != want || len(s.queue) != 3 {
					t.Errorf("level %v, target %v, %d of 3 pictures queued", level, target, len(s.queue))
				}
				if s.leave != nil && want == Main {
					t.Error("a smaller stream that the viewer cannot take is kept running for it")
				}
			})
		}
	}
}

// TestTheLevelIsChosenWithoutFeedback: what a level is becomes known late, and changes. A viewer that reports nothing
// gets what it takes all the same.
func TestTheLevelIsChosenWithoutFeedback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubs(true)
		main, sub := b.streams[Main], b.streams[Sub]
		main.Tracks([]media.Track{{Codec: media.H265}})
		s := NewSender(b, []*Track{NewTrack(media.H265)}, nil)
		s.Start(Relayed, "192.0.2.1", Main)
		defer b.Attach(s)()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { ReportLoop(ctx, nil, s) })
		for _, step := range []struct {
			name      string
			main, sub media.Codec // "" is not known yet
			want      Level
		}{
			{"nobody knows the smaller stream", media.H265, "", Sub},
			{"it is of another codec", media.H265, media.H264, Main},
			{"the levels change places", media.H264, media.H265, Sub},
			{"and back", media.H265, media.H264, Main},
		} {
			main.Tracks([]media.Track{{Codec: step.main}})
			if step.sub != "" {
				sub.Tracks([]media.Track{{Codec: step.sub}})
			}
			synctest.Wait()
			if _, target := s.levels(); target != step.want {
				t.Errorf("%s: the target is %v, want %v", step.name, target, step.want)
			}
			s.mu.Lock()
			before := len(s.queue)
			s.mu.Unlock()
			main.Write(keyFrame(step.main, time.Second))
			if step.sub != "" {
				sub.Write(keyFrame(step.sub, time.Second))
			}
			s.mu.Lock()
			if len(s.queue) != before+1 {
				t.Errorf("%s: %d pictures of 2 are sent, want 1", step.name, len(s.queue)-before)
			}
			s.mu.Unlock()
		}
	})
}

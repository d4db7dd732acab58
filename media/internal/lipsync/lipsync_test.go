package lipsync_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/kvsagent/kvsagent/media/internal/lipsync"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const (
	ms     = time.Millisecond
	second = time.Second
)

// at returns what a sender's clock shows at a PTS, when it stood at noon for PTS zero and has that error; nil is a
// sender without reports.
type at func(pts time.Duration) time.Time

func off(d time.Duration) at { return func(pts time.Duration) time.Time { return noon.Add(pts + d) } }

func never(time.Duration) time.Time { return time.Time{} }

// set returns a clock that is right until a moment and is then set.
func set(from, by time.Duration) at {
	return func(pts time.Duration) time.Time {
		if pts >= from {
			return noon.Add(pts + by)
		}
		return noon.Add(pts)
	}
}

// play plays pictures every 40 ms and audio every 20 ms, and returns by how much the audio is shifted in the end. each
// sees every unit.
func play(s *lipsync.Sync, long time.Duration, picture, sound at,
	each func(pts, moved time.Duration)) (moved time.Duration, err error) {
	for pts := time.Duration(0); pts <= long; pts += 20 * ms {
		if pts%(40*ms) == 0 {
			err = errors.Join(err, s.Picture(pts, picture(pts)))
		}
		got, problem := s.Sound(pts, sound(pts))
		err = errors.Join(err, problem)
		if moved = got - pts; each != nil {
			each(pts, moved)
		}
	}
	return moved, err
}

func TestSync(t *testing.T) {
	for _, tt := range []struct {
		name           string
		picture, sound at
		long           time.Duration
		want           time.Duration
		err            error
	}{
		{"in step", off(0), off(0), 10 * second, 0, nil},
		{"sound 400 ms late", off(0), off(-400 * ms), 8 * second, -400 * ms, nil},
		{"half of the time", off(0), off(-400 * ms), 4 * second, -200 * ms, nil},
		{"sound early", off(-300 * ms), off(0), 8 * second, 300 * ms, nil},
		{"so little that nobody hears it", off(0), off(39 * ms), 8 * second, 0, nil},
		{"no reports", never, never, 8 * second, 0, nil},
		{"reports on the picture alone", off(0), never, 8 * second, 0, nil},
		{"reports on the sound alone", never, off(400 * ms), 8 * second, 0, nil},
		{"two clocks", off(0), off(3 * second), 8 * second, 0, lipsync.ErrApart},
		{"years apart", off(0), off(-100 * 365 * 24 * time.Hour), 8 * second, 0, lipsync.ErrApart},
		{"the clock of one is set, by a year", off(0), set(5*second, 8760*time.Hour), 60 * second, 0, lipsync.ErrLeap},
		{"the clock of both is set, one after the other", set(6*second, second), set(9*second, second), 60 * second, 0,
			lipsync.ErrLeap},
		{"the clock of one is set, for good", off(0), set(6*second, -second), 60 * second, -second, lipsync.ErrLeap},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := play(&lipsync.Sync{}, tt.long, tt.picture, tt.sound, func(pts, moved time.Duration) {
				if tt.want == 0 && moved != 0 {
					t.Fatalf("at %v the sound is moved by %v", pts, moved)
				}
			})
			if d := got - tt.want; d < -ms || d > ms {
				t.Errorf("after %v the sound is moved by %v, want %v", tt.long, got, tt.want)
			}
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Errorf("errors %v, want %v", err, tt.err)
			}
		})
	}
}

// Whatever the reports contain, the audio never goes back, shifts by at most a twentieth of the time that has passed,
// and by at most two seconds.
func TestSyncKeepsItsPromises(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var s lipsync.Sync
		var pts, last, moved time.Duration
		skew := [2]time.Duration{}
		for n := range 3000 {
			passed := time.Duration(r.IntN(60)) * ms
			if r.IntN(100) == 0 {
				passed = time.Duration(r.IntN(100)) * second
			}
			pts += passed
			for i := range skew {
				switch r.IntN(300) {
				case 0:
					skew[i] = time.Duration(r.IntN(5000)-2500) * ms
				case 1:
					skew[i] += time.Duration(r.Int64N(int64(100 * 365 * 24 * time.Hour)))
				}
			}
			clock := func(i int) time.Time {
				if r.IntN(4) == 0 {
					return time.Time{}
				}
				return noon.Add(pts + skew[i]%(200*365*24*time.Hour))
			}
			_ = s.Picture(pts, clock(0))
			got, _ := s.Sound(pts, clock(1))
			if got < last {
				t.Fatalf("seed %d, unit %d: the sound goes back from %v to %v", seed, n, last, got)
			}
			if d := got - pts - moved; d.Abs() > passed/20 {
				t.Fatalf("seed %d, unit %d: moved by %v in %v", seed, n, d, passed)
			}
			if last, moved = got, got-pts; moved.Abs() > 2*second {
				t.Fatalf("seed %d, unit %d: moved by %v in all", seed, n, moved)
			}
		}
	}
}

func TestClock(t *testing.T) {
	const ntp = 3_973_000_000<<32 | 1<<31 // half a second after a moment of 2025
	then := time.Unix(3_973_000_000-2_208_988_800, 5e8)
	for _, tt := range []struct {
		name   string
		report *rtcp.SenderReport // of stamp 90000 if any
		rate   int
		ssrc   uint32
		stamp  uint32
		want   time.Time
	}{
		{"the moment itself", &rtcp.SenderReport{SSRC: 7, NTPTime: ntp, RTPTime: 90000}, 90000, 7, 90000, then},
		{"a second later", &rtcp.SenderReport{SSRC: 7, NTPTime: ntp, RTPTime: 90000}, 90000, 7, 180000,
			then.Add(time.Second)},
		{"before, over the wrap", &rtcp.SenderReport{SSRC: 7, NTPTime: ntp, RTPTime: 0}, 48000, 7, 1<<32 - 24000,
			then.Add(-500 * ms)},
		{"no report", nil, 90000, 7, 90000, time.Time{}},
		{"of somebody else", &rtcp.SenderReport{SSRC: 8, NTPTime: ntp}, 90000, 7, 0, time.Time{}},
		{"a sender without a clock", &rtcp.SenderReport{SSRC: 7}, 90000, 7, 0, time.Time{}},
		{"no rate", &rtcp.SenderReport{SSRC: 7, NTPTime: ntp}, 0, 7, 0, time.Time{}},
		{"the last moment of NTP", &rtcp.SenderReport{SSRC: 7, NTPTime: 1<<64 - 1<<32}, 8000, 7, 0,
			time.Unix(1<<32-1-2_208_988_800, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := lipsync.Clock{Rate: tt.rate}
			if tt.report != nil {
				c.Report(tt.report)
			}
			c.Packet(tt.ssrc)
			if got := c.At(tt.stamp); !got.Equal(tt.want) {
				t.Errorf("At(%d) = %v, want %v", tt.stamp, got, tt.want)
			}
		})
	}
}

package bwe_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// link is a path in a test: a queue served at a rate, a delay, losses. Its far end writes feedback with code that is
// not ours.
type link struct {
	rate   float64 // bit/s
	queue  time.Duration
	delay  time.Duration
	jitter time.Duration
	loss   float64
	drift  float64 // of the remote's clock

	rng      *rand.Rand
	free     time.Duration // when the queue is empty
	recorder *twcc.Recorder
	coming   []arrival
	dropped  int
}

type arrival struct {
	at  time.Duration
	seq uint16
}

func newLink(rate float64) *link {
	return &link{rate: rate, queue: 300 * time.Millisecond, delay: 20 * time.Millisecond,
		rng: rand.New(rand.NewPCG(1, 2)), recorder: twcc.NewRecorder(1)}
}

func (l *link) send(now time.Duration, seq uint16, size int) {
	if l.free-now > l.queue || l.rng.Float64() < l.loss {
		l.dropped++
		return
	}
	l.free = max(l.free, now) + time.Duration(float64(size*8)/l.rate*float64(time.Second))
	at := l.free + l.delay
	if l.jitter > 0 {
		at += time.Duration(l.rng.Int64N(int64(l.jitter)))
	}
	l.coming = append(l.coming, arrival{at, seq})
}

// simulation sends pictures over a link, and passes the link's feedback to the path.
type simulation struct {
	t     *testing.T
	path  bwe.Path
	link  *link
	bits  float64 // of the stream
	now   time.Duration
	start time.Time
	fulls int
	probe float64 // bit/s: probe at the next step
}

const mtu = 1160

func (s *simulation) at() time.Time { return s.start.Add(s.now) }

func (s *simulation) run(d time.Duration) {
	s.t.Helper()
	for end := s.now + d; s.now < end; s.now += time.Millisecond {
		ms := s.now.Milliseconds()
		if ms%33 == 0 { // a picture; every 60th is four times as large
			size := s.bits / 8 / 30
			if ms%1980 == 0 {
				size *= 4
			}
			for ; size > 0; size -= mtu {
				n := int(min(size, mtu))
				s.link.send(s.now, s.path.Send(s.at(), n), n)
			}
		}
		if s.probe > 0 && ms%33 == 10 {
			s.path.BeginProbe()
			for range 8 {
				s.link.send(s.now, s.path.Send(s.at(), mtu), mtu)
				s.now += time.Duration(mtu * 8 / s.probe * float64(time.Second)).Truncate(time.Microsecond)
			}
			s.path.EndProbe()
			s.now = s.now.Truncate(time.Millisecond)
			s.probe = 0
		}
		var rest []arrival
		for _, a := range s.link.coming {
			if a.at > s.now {
				rest = append(rest, a)
				continue
			}
			clock := 5*time.Hour + time.Duration(float64(a.at)*(1+s.link.drift))
			s.link.recorder.Record(7, a.seq, clock.Microseconds())
		}
		s.link.coming = rest
		if ms%50 == 0 {
			for _, p := range s.link.recorder.BuildFeedbackPacket() {
				raw, err := p.(*rtcp.TransportLayerCC).Marshal()
				if err != nil {
					s.t.Fatal(err)
				}
				if err := s.path.Feedback(s.at(), raw[12:]); err != nil {
					s.t.Fatal(err)
				}
			}
			if s.path.State().Full {
				s.fulls++
			}
		}
	}
}

func simulate(t *testing.T, l *link, bits float64) *simulation {
	return &simulation{t: t, link: l, bits: bits, start: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)}
}

func between(t *testing.T, what string, got, least, most float64) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s is %.0f, want %.0f to %.0f", what, got, least, most)
	}
}

func TestAWidePathIsNeverFull(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*link)
	}{
		{"quiet", func(*link) {}},
		{"jitter", func(l *link) { l.jitter = 25 * time.Millisecond }},
		{"loss of 5 %", func(l *link) { l.loss = 0.05 }},
		{"a fast clock", func(l *link) { l.drift = 200e-6 }},
		{"a slow clock", func(l *link) { l.drift = -200e-6 }},
		{"slow as the moon", func(l *link) { l.delay = time.Second }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLink(8e6)
			c.change(l)
			s := simulate(t, l, 4e6)
			s.run(3 * time.Minute)
			if s.fulls > 0 {
				t.Errorf("the path counted as full %d times", s.fulls)
			}
			between(t, "estimate", s.path.State().Estimate, 4e6, 8e6)
		})
	}
}

func TestANarrowPathIsFoundOutSoon(t *testing.T) {
	for _, rate := range []float64{3e6, 2e6, 600e3} {
		l := newLink(8e6)
		s := simulate(t, l, 4e6)
		s.run(20 * time.Second)
		l.rate = rate
		for s.fulls == 0 && s.now < 25*time.Second {
			s.run(50 * time.Millisecond)
		}
		if took := s.now - 20*time.Second; took > 700*time.Millisecond {
			t.Errorf("%.0f bit/s: found out after %v", rate, took)
		}
		s.run(500 * time.Millisecond)
		between(t, "estimate", s.path.State().Estimate, rate*0.7, rate*1.05)
		s.bits = rate * 0.6
		s.run(3 * time.Second)
		s.fulls = 0
		s.run(10 * time.Second)
		if s.fulls > 0 {
			t.Errorf("%.0f bit/s: full %d times after the stream has become smaller", rate, s.fulls)
		}
		between(t, "queue in ms", float64(s.path.State().Queue.Milliseconds()), 0, 20)
	}
}

func TestHeavyLossIsAFullPath(t *testing.T) {
	l := newLink(8e6)
	l.loss = 0.2
	s := simulate(t, l, 4e6)
	s.run(3 * time.Second)
	if s.fulls == 0 {
		t.Error("a path that loses a fifth is not full")
	}
	between(t, "loss in percent", 100*s.path.State().Loss, 12, 28)
}

func TestAProbeTellsWhatThePathCarries(t *testing.T) {
	for _, c := range []struct{ rate, probe, least, most float64 }{
		{8e6, 5e6, 4.5e6, 5.5e6},
		{8e6, 1.5e6, 1.35e6, 1.7e6},
		{2e6, 5e6, 1.6e6, 2.2e6},
		{600e3, 1.5e6, 500e3, 700e3},
	} {
		s := simulate(t, newLink(c.rate), 400e3)
		s.run(5 * time.Second)
		between(t, "estimate before", s.path.State().Estimate, 400e3, 650e3)
		s.probe = c.probe
		s.run(300 * time.Millisecond)
		between(t, "estimate after", s.path.State().Estimate, c.least, c.most)
		s.run(2 * time.Second)
		if s.fulls > 0 {
			t.Errorf("%.0f bit/s: a probe has filled the path", c.rate)
		}
	}
}

func TestWithoutFeedbackThereAreReports(t *testing.T) {
	now := time.Now()
	var p bwe.Path
	for range 10 {
		now = now.Add(time.Second)
		p.Report(now, 0, 2e6)
	}
	between(t, "estimate without loss", p.State().Estimate, 2e6, 3e6)
	p.Report(now.Add(time.Second), 0.3, 2e6)
	if !p.State().Full {
		t.Error("a path that loses much is not full")
	}
	between(t, "estimate with loss", p.State().Estimate, 1e6, 1.8e6)
	p.REMB(now.Add(time.Second), 700e3)
	between(t, "estimate by REMB", p.State().Estimate, 700e3, 700e3)
}

func TestAKnownLimitHolds(t *testing.T) {
	s := simulate(t, newLink(20e6), 8e6)
	s.path.Most = 5e6
	s.run(5 * time.Second)
	between(t, "estimate", s.path.State().Estimate, 5e6, 5e6)
}

// TestTwelveDays covers the wraps of sequence numbers, of the feedback's reference time and of our own ticks.
func TestTwelveDays(t *testing.T) {
	s := simulate(t, newLink(8e6), 1e6)
	for range 30 {
		s.run(5 * time.Second)
		s.now += 20 * time.Hour
	}
	if s.fulls > 0 {
		t.Errorf("full %d times", s.fulls)
	}
	between(t, "queue in ms", float64(s.path.State().Queue.Milliseconds()), 0, 20)
}

func FuzzFeedback(f *testing.F) {
	r := twcc.NewRecorder(1)
	for i := range 40 {
		if i%7 != 3 {
			r.Record(7, uint16(i), int64(i)*1500)
		}
	}
	for _, p := range r.BuildFeedbackPacket() {
		raw, err := p.(*rtcp.TransportLayerCC).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[12:])
	}
	f.Fuzz(func(t *testing.T, fci []byte) {
		var p bwe.Path
		now := time.Now()
		for range 100 {
			p.Send(now, 1000)
		}
		_ = p.Feedback(now.Add(50*time.Millisecond), fci)
		if s := p.State(); s.Estimate < 0 || s.Loss < 0 || s.Loss > 1 {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkSend(b *testing.B) {
	var p bwe.Path
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		p.Send(now, 1160)
	}
}

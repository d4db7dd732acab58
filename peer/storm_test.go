package peer

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/rtcp"
)

// hundred is a camera of 100 small pictures a second.
type hundred struct{}

func (hundred) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264}})
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		f := &media.Frame{Codec: media.H264, PTS: time.Since(began), Captured: time.Now(),
			Data: [][]byte{{0x41, 1, 2, 3}}}
		if f.Key = n%100 == 0; f.Key {
			f.Data = [][]byte{{0x67, 0x42, 0xe0, 0x1f}, {0x68, 0xce}, {0x65, 1, 2, 3, 4}}
		}
		out.Write(f)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// meeting is viewers of one broadcast, over real sockets of this host.
type meeting struct {
	t       *testing.T
	ctx     context.Context
	running sync.WaitGroup
	cast    *fanout.Broadcast
	shared  *Engine
}

func newMeeting(t *testing.T) *meeting {
	m := &meeting{t: t, shared: loopback(t)}
	hub := media.NewHub(media.HubOptions{Source: hundred{}})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	m.ctx, m.cast = ctx, fanout.NewBroadcast(hub, nil)
	m.running.Go(func() { hub.Run(ctx) })
	t.Cleanup(func() { cancel(); m.running.Wait() })
	return m
}

// join has a viewer come, and gives both ends and how long it has waited for its first frame.
func (m *meeting) join(ctx context.Context) (master, viewer *Conn, waited time.Duration) {
	m.t.Helper()
	began, frame := time.Now(), make(chan struct{})
	var err error
	if master, err = New(Config{Engine: m.shared, Broadcast: m.cast,
		Send: func(s Signal) { viewer.Handle(s) }}); err != nil {
		m.t.Fatal(err)
	}
	if viewer, err = New(Config{
		Engine: loopback(m.t), Receive: true, Offer: true, Send: func(s Signal) { master.Handle(s) },
		OnFrame: sync.OnceFunc(func() { close(frame) }),
	}); err != nil {
		m.t.Fatal(err)
	}
	m.running.Go(func() { _ = master.Run(ctx) })
	m.running.Go(func() { _ = viewer.Run(ctx) })
	select {
	case <-frame:
	case <-time.After(5 * time.Second):
	}
	return master, viewer, time.Since(began)
}

// TestNobodyWaitsForAStormOfReports has one viewer send, within its limits, what is dearest to read: NACKs for packets
// that were never sent, feedback that tells of thousands of packets in a few bytes, datagrams of hundreds of packets.
// Others come in the meantime, and wait for their first picture at most twice as long as without.
func TestNobodyWaitsForAStormOfReports(t *testing.T) {
	m := newMeeting(t)
	master, attacker, _ := m.join(m.ctx)
	time.Sleep(2700 * time.Millisecond) // until the history is full
	if !master.Report().Direct {
		t.Fatal("the attacker's media goes through Pion")
	}
	ssrc := uint32(master.current().pc.GetSenders()[0].GetParameters().Encodings[0].SSRC)
	feedback := bytes.Repeat([]byte{0x8f, 205, 0, 4, 0, 0, 0, 5, 0, 0, 0x12, 0x67, 0, 0, 8, 0, 0, 0, 0, 1, 8, 0, 0, 0},
		300)
	for i := range 300 {
		feedback[24*i+3], feedback[24*i+19] = 5, byte(i) // 2048 packets of which none came, each time another message
	}
	storms := [][]byte{
		nacksFor(t, ssrc, 40_000, 7*253),
		feedback,
		bytes.Repeat([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, 900),
	}
	var on atomic.Bool
	var sent atomic.Int64
	m.running.Go(func() {
		tick := time.NewTicker(time.Second / 200)
		defer tick.Stop()
		for m.ctx.Err() == nil {
			select {
			case <-m.ctx.Done():
				return
			case <-tick.C:
			}
			if !on.Load() {
				continue
			}
			raw := rtcp.RawPacket(storms[sent.Load()%int64(len(storms))])
			if err := attacker.current().pc.WriteRTCP([]rtcp.Packet{&raw}); err != nil {
				t.Error("the attacker:", err)
				return
			}
			sent.Add(1)
		}
	})
	// Three rounds, of which the best counts: what else the machine does hits one side of a round and not the other.
	const rounds, joins = 3, 9
	best := time.Duration(-1)
	for range rounds {
		var waits [2][]time.Duration // without, with
		for i := range 2 * joins {
			on.Store(i%2 == 1)
			time.Sleep(300 * time.Millisecond)
			ctx, leave := context.WithCancel(m.ctx)
			_, _, waited := m.join(ctx)
			leave()
			waits[i%2] = append(waits[i%2], waited)
		}
		t.Logf("first pictures without: %v; with: %v", waits[0], waits[1])
		if most := 2 * max(slices.Max(waits[0]), 2*pionTick); slices.Max(waits[1]) > most {
			t.Errorf("in a storm of reports a first picture takes %v, want %v at most", slices.Max(waits[1]), most)
		}
		without, with := middle(waits[0]), middle(waits[1])
		if best < 0 || with-2*without < best {
			best = with - 2*without
		}
		if best <= 0 {
			break
		}
	}
	if best > 0 {
		t.Errorf("in a storm of reports the first picture takes %v more than twice as long as without it", best)
	}
	if state := master.Report().State; state != Connected || sent.Load() == 0 {
		t.Errorf("%d datagrams were sent, and the attacker is %s: they were not within the limits", sent.Load(), state)
	}
}

// pionTick is the time between two rounds of ICE checks. Whether a viewer's first check comes a moment too early, and
// it waits for the next round, is a race of the two sides' signals, storm or not.
const pionTick = 200 * time.Millisecond

// middle is the median of some waits, without the rounds of ICE that were missed.
func middle(waits []time.Duration) time.Duration {
	var out []time.Duration
	for _, w := range waits {
		out = append(out, w%pionTick)
	}
	slices.Sort(out)
	return out[len(out)/2]
}

// nacksFor asks for 17 packets a pair, from one number on, in a compound packet.
func nacksFor(t *testing.T, ssrc uint32, from uint16, pairs int) (compound []byte) {
	t.Helper()
	for pairs > 0 {
		n := &rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: ssrc}
		for ; pairs > 0 && len(n.Nacks) < 253; pairs-- { // Pion writes no more into one
			n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: from, LostPackets: 0xffff})
			from += 17
		}
		b, err := n.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		compound = append(compound, b...)
	}
	return compound
}

package fanout

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtp"
)

// camera makes the pictures of both levels of one source: each says in its first bytes what it is.
type camera struct {
	b    *Broadcast
	gop  [2]int // pictures
	size [2]int // bytes of a picture that is no key frame
	n    [2]uint32
}

func newCamera(rng *rand.Rand) *camera {
	return &camera{
		b:   NewBroadcast(media.NewHub(media.HubOptions{}), media.NewHub(media.HubOptions{})),
		gop: [2]int{2 + rng.IntN(20), 2 + rng.IntN(20)}, size: [2]int{1000 + rng.IntN(8000), 100 + rng.IntN(1000)},
	}
}

const period = 40 * time.Millisecond

// shoot writes the next picture of a level.
func (c *camera) shoot(l Level, now time.Duration) {
	i := c.n[l]
	c.n[l]++
	key := int(i)%c.gop[l] == 0
	size, kind := c.size[l], byte(0x41)
	if key {
		size, kind = 5*size, 0x65
	}
	unit := append([]byte{kind, byte(l)}, binary.BigEndian.AppendUint32(nil, i)...)
	unit = append(unit, make([]byte, size)...)
	c.b.streams[l].Write(&media.Frame{Codec: media.H264, PTS: now, Captured: time.Now(), Key: key,
		Data: [][]byte{unit}})
}

// strict is a decoder that takes nothing amiss: it is given packets and says what is wrong with them.
type strict struct {
	mu      sync.Mutex
	err     error
	seq     uint16
	stamp   uint32
	open    bool // a picture has begun
	level   byte
	next    uint32 // picture of that level
	started bool
	frames  int
	moves   int
}

func (d *strict) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = d.take(h, payload)
	}
	return len(payload), nil
}

func (d *strict) Write([]byte) (int, error) { return 0, nil }

func (d *strict) take(h *rtp.Header, payload []byte) error {
	if d.started && h.SequenceNumber != d.seq+1 {
		return fmt.Errorf("sequence number %d follows %d", h.SequenceNumber, d.seq)
	}
	d.seq = h.SequenceNumber
	if d.open {
		if h.Timestamp != d.stamp {
			return fmt.Errorf("a picture has the times %d and %d", d.stamp, h.Timestamp)
		}
		d.open = !h.Marker
		return nil
	}
	if d.started && int32(h.Timestamp-d.stamp) <= 0 {
		return fmt.Errorf("time %d follows %d", h.Timestamp, d.stamp)
	}
	d.stamp, d.open = h.Timestamp, !h.Marker
	if payload[0]&0x1f == 28 { // FU-A: the unit's type is in the second byte
		payload = append([]byte{payload[1] & 0x1f}, payload[2:]...)
	}
	key, level, i := payload[0]&0x1f == 5, payload[1], binary.BigEndian.Uint32(payload[2:])
	switch {
	case key:
		if d.started && level != d.level {
			d.moves++
		}
	case !d.started:
		return fmt.Errorf("the first picture is no key frame")
	case level != d.level:
		return fmt.Errorf("picture %d of level %d follows one of level %d and is no key frame", i, level, d.level)
	case i != d.next:
		return fmt.Errorf("picture %d of level %d follows %d", i, level, d.next-1)
	}
	d.started, d.level, d.next = true, level, i+1
	d.frames++
	return nil
}

// TestLevels moves viewers between the levels at random, over paths that are wide, narrow and stalled, 10,000 times:
// sequence numbers have no gap, times do not go back, and every picture can be decoded with those before it.
func TestLevels(t *testing.T) {
	cases, moved, shown := 10_000, 0, 0
	if testing.Short() {
		cases = 500
	}
	for seed := range cases {
		synctest.Test(t, func(t *testing.T) {
			d := walk(t, rand.New(rand.NewPCG(uint64(seed), 7)))
			if d.err != nil {
				t.Fatalf("seed %d: after %d pictures: %v", seed, d.frames, d.err)
			}
			moved += d.moves
			shown += d.frames
		})
	}
	t.Logf("%d cases: %d pictures, %d moves", cases, shown, moved)
	if moved < cases/2 {
		t.Errorf("%d moves in %d cases", moved, cases)
	}
}

func walk(t *testing.T, rng *rand.Rand) *strict {
	d := &strict{}
	c := newCamera(rng)
	track := NewTrack(media.H264)
	track.w, track.ssrc, track.pt = d, 1, 96
	s := NewSender(c.b, []*Track{track}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	now := time.Duration(0)
	step := func() {
		late := time.Duration(rng.IntN(20)) * time.Millisecond // the levels are not in step
		c.shoot(Main, now)
		time.Sleep(late)
		c.shoot(Sub, now+late)
		time.Sleep(period - late)
		now += period
	}
	for range rng.IntN(30) {
		step()
	}
	s.Start(PathClass(rng.IntN(3)), "", Main)
	detach := c.b.Attach(s)
	defer detach()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = s.Run(ctx, c.b.Promote) })
	for range 40 {
		switch rng.IntN(8) {
		case 0, 1:
			c.b.move(s, Level(rng.IntN(2)))
		case 2:
			c.b.refresh(s)
		case 3:
			track.onLoss(time.Now(), 0.3, float64(100_000*(1+rng.IntN(30)))) // the path is narrow from now on
		case 4:
			c.b.Demote(s)
		}
		step()
	}
	return d
}

// TestLevelsOfAShard moves a viewer that is sent to straight between the levels, between its shard and a queue of its
// own, also in the middle of a large picture that the shard sends in parts. Each packet is decrypted by code that is
// not ours.
func TestLevelsOfAShard(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	c := newCamera(rng)
	c.gop, c.size = [2]int{10, 14}, [2]int{30_000, 900}
	v := newViewer(t, udpbatch.New(socket(t)), 62_000)
	v.s.b = c.b
	for _, track := range v.s.tracks {
		track.twcc, track.rtxSSRC, track.rtxPT = 3, 815, 97
	}
	d := &strict{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, err := v.conn.Read(buf)
			if err != nil {
				return
			}
			var p rtp.Packet
			plain, err := v.srtp.DecryptRTP(nil, buf[:n], nil)
			if err == nil {
				err = p.Unmarshal(plain)
			}
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = d.WriteRTP(&p.Header, p.Payload)
		}
	})
	v.s.Start(Near, "", Main)
	detach := c.b.Attach(v.s)
	running.Go(func() { _ = v.s.Run(ctx, c.b.Promote) })
	shared := 0
	for i := range 400 {
		now := time.Duration(i) * period
		c.shoot(Main, now)
		switch rng.IntN(5) {
		case 0:
			c.b.move(v.s, Level(rng.IntN(2)))
		case 1:
			c.b.Demote(v.s)
		case 2:
			time.Sleep(time.Duration(rng.IntN(4000)) * time.Microsecond) // into the middle of a picture
			c.b.Demote(v.s)
		}
		c.shoot(Sub, now+period/2)
		time.Sleep(3 * time.Millisecond)
		if v.s.inShard() {
			shared++
		}
	}
	cancel()
	detach()
	time.Sleep(20 * time.Millisecond) // for what is in the socket
	_ = v.conn.Close()
	running.Wait()
	for _, h := range c.b.shards {
		h.wait()
	}
	if d.err != nil {
		t.Errorf("after %d pictures: %v", d.frames, d.err)
	}
	t.Logf("%d pictures, %d moves, %d times in a shard", d.frames, d.moves, shared)
	if d.moves < 10 || shared < 50 || d.frames < 100 {
		t.Error("not much was tried")
	}
}

package peer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/logging"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/turn/v5"
)

// The networks of these tests are values, and their time is a bubble's: an hour passes as fast as the packets can be
// computed.

// world is an internet with one STUN and TURN server.
type world struct {
	t    *testing.T
	wan  *vnet.Router
	next int

	server  line                   // the server's way into the internet
	refused atomic.Pointer[string] // a user whom it refuses from now on
	asked   sync.Map               // how often each user was taken or refused, as *atomic.Int32
}

const serverIP = "198.18.0.1"

var quiet = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}

func newWorld(t *testing.T) *world {
	t.Helper()
	wan, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "0.0.0.0/0", LoggerFactory: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, wan: wan}
}

// start makes packets flow, after all sites are there.
func (w *world) start() {
	w.t.Helper()
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{serverIP}})
	if err == nil {
		err = w.wan.AddNet(n)
	}
	if err == nil {
		err = w.wan.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.wan.Stop() })
	w.server.Net, w.server.rng = n, rand.New(rand.NewPCG(0, 7))
	conn, err := w.server.ListenPacket("udp4", serverIP+":3478")
	if err != nil {
		w.t.Fatal(err)
	}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "test", LoggerFactory: quiet,
		AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
			n, _ := w.asked.LoadOrStore(r.Username, &atomic.Int32{})
			n.(*atomic.Int32).Add(1)
			if u := w.refused.Load(); u != nil && *u == r.Username {
				return "", nil, false
			}
			return r.Username, turn.GenerateAuthKey(r.Username, r.Realm, "secret"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: conn,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
				RelayAddress: net.ParseIP(serverIP), Address: "0.0.0.0", Net: &w.server,
			}}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = server.Close() })
}

// servers are what a peer may use.
func servers(withTURN bool) func(context.Context) []peer.ICEServer {
	return func(context.Context) []peer.ICEServer {
		all := []peer.ICEServer{{URLs: []string{"stun:" + serverIP + ":3478"}}}
		if withTURN {
			all = append(all, peer.ICEServer{URLs: []string{"turn:" + serverIP + ":3478?transport=udp"}, Username: "u",
				Credential: "secret"})
		}
		return all
	}
}

// nat is a kind of address translation; the zero value is none.
type nat struct {
	name string
	kind *vnet.NATType
}

// site is one peer's place in the world.
type site struct {
	line   *line
	engine *peer.Engine
}

// site adds a host behind a NAT.
func (w *world) site(n nat) *site {
	w.t.Helper()
	w.next++
	public, private := fmt.Sprintf("203.0.%d.1", w.next), fmt.Sprintf("10.0.%d.2", w.next)
	ip := public
	if n.kind != nil {
		ip = private
	}
	host, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		w.t.Fatal(err)
	}
	router := w.wan
	if n.kind != nil {
		outside := public
		if n.kind.Mode == vnet.NATModeNAT1To1 {
			outside += "/" + private
		}
		router, err = vnet.NewRouter(&vnet.RouterConfig{
			CIDR: fmt.Sprintf("10.0.%d.0/24", w.next), StaticIPs: []string{outside}, NATType: n.kind,
			LoggerFactory: quiet,
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err = router.AddNet(host); err == nil && router != w.wan {
		err = w.wan.AddRouter(router)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	s := &site{line: &line{Net: host, rng: rand.New(rand.NewPCG(uint64(w.next), 7))}}
	if s.engine, err = peer.NewEngine(peer.EngineOptions{Net: s.line}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.engine.Close() })
	return s
}

// line is a host's way into its network, with the faults of one. They hold for what the host sends.
type line struct {
	transport.Net
	loss   float64       // share of packets that are lost
	delay  time.Duration // of every packet
	jitter time.Duration // more delay, at random: packets overtake each other
	twice  float64       // share of packets that come twice
	wrong  float64       // share of packets with a bit that is wrong
	most   int           // bytes of the largest UDP payload that passes; 0 is any
	noDTLS bool          // no packet of DTLS passes
	cut    atomic.Bool   // nothing passes
	rate   atomic.Int64  // bit/s that pass; 0 is any
	queue  time.Duration // that a packet may wait for its turn, when there is a rate

	mu   sync.Mutex // guards the fields below
	rng  *rand.Rand
	free time.Time // when the last packet has passed
}

func (l *line) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := l.Net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	return &faultyConn{c, l}, nil
}

func (l *line) ListenPacket(network, addr string) (net.PacketConn, error) {
	c, err := l.Net.ListenPacket(network, addr)
	if err != nil {
		return nil, err
	}
	return &faultyConn{c.(transport.UDPConn), l}, nil
}

// copies says after how long each copy of a packet of n bytes leaves.
func (l *line) copies(n int) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if rate := l.rate.Load(); rate > 0 {
		now := time.Now()
		if l.free.Sub(now) > l.queue {
			return nil
		}
		if l.free.Before(now) {
			l.free = now
		}
		l.free = l.free.Add(time.Duration(float64(n*8) / float64(rate) * float64(time.Second)))
		return []time.Duration{l.free.Sub(now) + l.delay}
	}
	if l.cut.Load() || l.rng.Float64() < l.loss {
		return nil
	}
	after := func() time.Duration {
		if l.jitter == 0 {
			return l.delay
		}
		return l.delay + time.Duration(l.rng.Int64N(int64(l.jitter)))
	}
	out := []time.Duration{after()}
	if l.rng.Float64() < l.twice {
		out = append(out, after())
	}
	return out
}

// passes says whether a packet is one of those that the line carries.
func (l *line) passes(b []byte) bool {
	return (l.most == 0 || len(b) <= l.most) && !(l.noDTLS && isDTLS(b))
}

// isDTLS: records begin with 20 to 63 (RFC 7983 section 7).
func isDTLS(b []byte) bool { return len(b) > 0 && b[0] >= 20 && b[0] <= 63 }

// spoiled is a packet as it arrives. A handshake with a wrong bit has to fail (RFC 6347 section 4.1.2.7 leaves no
// choice once it is the transcript that differs), so DTLS is left as it is.
func (l *line) spoiled(b []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(b) == 0 || isDTLS(b) || l.wrong == 0 || l.rng.Float64() >= l.wrong {
		return b
	}
	b = append([]byte(nil), b...)
	b[l.rng.IntN(len(b))] ^= 1 << l.rng.IntN(8)
	return b
}

type faultyConn struct {
	transport.UDPConn
	line *line
}

func (c *faultyConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if !c.line.passes(b) {
		return len(b), nil
	}
	b = c.line.spoiled(b)
	for _, after := range c.line.copies(len(b)) {
		if after == 0 {
			if _, err := c.UDPConn.WriteTo(b, to); err != nil {
				return 0, err
			}
			continue
		}
		late := append([]byte(nil), b...)
		time.AfterFunc(after, func() { _, _ = c.UDPConn.WriteTo(late, to) })
	}
	return len(b), nil
}

func (c *faultyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.UDPConn.ReadFrom(b)
		if err != nil || !c.line.cut.Load() {
			return n, from, err
		}
	}
}

// ticker is a source of small H.264 frames, numbered, one key frame a second at the least.
type ticker struct {
	every time.Duration
	gop   int // frames
	size  int // bytes of a frame, about; a key frame has eight times as many
	runs  atomic.Int32
}

var sps = []byte{0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0xa0, 0x5b, 0x96, 0xa0, 0x20, 0x20, 0x28, 0, 0, 3, 0, 8, 0, 0, 3,
	1, 0x94, 0x20}

func (s *ticker) Run(ctx context.Context, out media.Sink) error {
	s.runs.Add(1)
	defer s.runs.Add(-1)
	pps := []byte{0x68, 0xce, 0x3c, 0x80}
	out.Tracks([]media.Track{{Codec: media.H264, SPS: sps, PPS: pps}})
	began := time.Now()
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for n := uint32(0); ; n++ {
		size := s.size
		if int(n)%s.gop == 0 {
			size *= 8
		}
		slice := binary.BigEndian.AppendUint32(append([]byte{0x41, 0x9a}, bytes.Repeat([]byte{0x55}, size)...), n)
		f := &media.Frame{Codec: media.H264, PTS: time.Since(began), Captured: time.Now(), Data: [][]byte{slice}}
		if int(n)%s.gop == 0 {
			slice[0] = 0x65
			f.Key, f.Data = true, [][]byte{sps, pps, slice}
		}
		out.Write(f)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// number is what ticker has written into a frame.
func number(f *media.Frame) uint32 {
	slice := f.Data[len(f.Data)-1]
	return binary.BigEndian.Uint32(slice[len(slice)-4:])
}

// broadcast runs a hub on a source until the test ends, and one on a smaller source, if there is one.
func broadcast(t *testing.T, main, sub media.Source) *fanout.Broadcast {
	t.Helper()
	return broadcastStanding(t, main, sub, nil)
}

// broadcastStanding is a broadcast that shows something while its source is away.
func broadcastStanding(t *testing.T, main, sub media.Source,
	standby func([]media.Track) media.Source) *fanout.Broadcast {
	t.Helper()
	epoch := time.Now()
	run := func(src media.Source) *media.Hub {
		if src == nil {
			return nil
		}
		hub := media.NewHub(media.HubOptions{Name: "ticker", Source: src, Epoch: epoch, Standby: standby})
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { hub.Run(ctx) })
		t.Cleanup(func() { cancel(); wg.Wait() })
		return hub
	}
	return fanout.NewBroadcast(run(main), run(sub))
}

// call is a master and a viewer, each at its site, whose signals go to each other.
type call struct {
	t              *testing.T
	master, viewer *peer.Conn
	got            *collector
	masterDone     chan error
	viewerDone     chan error
	stopMaster     func()
	stopViewer     func()
}

// callOptions changes how a call comes about.
type callOptions struct {
	masterOffers, viewerOffers bool // default is that the viewer offers
	turn, relayOnly            bool
	turnUser                   func() string                        // default is always the same
	source                     media.Source                         // default is a ticker
	sub                        media.Source                         // its smaller stream; default is none
	fps                        float64                              // default 10
	standby                    func([]media.Track) media.Source     // while the source is away; default is nothing
	idle                       time.Duration                        // the master's IdleTimeout
	toMaster, toViewer         func(peer.Signal, func(peer.Signal)) // carry a signal; default at once
}

// servers are those of the options.
func (o callOptions) servers() func(context.Context) []peer.ICEServer {
	all := servers(o.turn)
	return func(ctx context.Context) []peer.ICEServer {
		list := all(ctx)
		for i := range list {
			if list[i].Username != "" && o.turnUser != nil {
				list[i].Username = o.turnUser()
			}
		}
		return list
	}
}

// begin begins a call. Its ends come in masterDone and viewerDone.
func begin(t *testing.T, m, v *site, o callOptions) *call {
	t.Helper()
	if !o.masterOffers {
		o.viewerOffers = true
	}
	if o.fps == 0 {
		o.fps = 10
	}
	at := func(s peer.Signal, deliver func(peer.Signal)) { deliver(s) }
	if o.toMaster == nil {
		o.toMaster = at
	}
	if o.toViewer == nil {
		o.toViewer = at
	}
	c := &call{t: t, got: newCollector(), masterDone: make(chan error, 1), viewerDone: make(chan error, 1)}
	if o.source == nil {
		o.source = &ticker{every: time.Duration(float64(time.Second) / o.fps), gop: max(1, int(o.fps))}
	}
	var err error
	if c.master, err = peer.New(peer.Config{
		Engine: m.engine, Broadcast: broadcastStanding(t, o.source, o.sub, o.standby), Offer: o.masterOffers,
		Polite: true, IdleTimeout: o.idle, ICEServers: o.servers(), RelayOnly: o.relayOnly,
		Certificates: &peer.Certificates{},
		Send:         func(s peer.Signal) { o.toViewer(s, func(s peer.Signal) { c.viewer.Handle(s) }) },
	}); err != nil {
		t.Fatal(err)
	}
	if c.viewer, err = peer.New(peer.Config{
		Engine: v.engine, Receive: true, Sink: c.got, Offer: o.viewerOffers, ICEServers: o.servers(),
		RelayOnly: o.relayOnly,
		Send:      func(s peer.Signal) { o.toMaster(s, func(s peer.Signal) { c.master.Handle(s) }) },
	}); err != nil {
		t.Fatal(err)
	}
	c.stopMaster = c.run(c.master, c.masterDone)
	c.stopViewer = c.run(c.viewer, c.viewerDone)
	return c
}

func (c *call) run(conn *peer.Conn, done chan<- error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { done <- conn.Run(ctx) })
	stop = func() { cancel(); wg.Wait() }
	c.t.Cleanup(stop)
	return stop
}

// plays waits for n more pictures, and says how long that took.
func (c *call) plays(n int) time.Duration {
	c.t.Helper()
	began, want := time.Now(), c.got.count(media.H264)+n
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	for c.got.count(media.H264) < want {
		select {
		case <-c.got.got:
		case err := <-c.masterDone:
			c.t.Fatalf("the master's side ended: %v", err)
		case err := <-c.viewerDone:
			c.t.Fatalf("the viewer's side ended: %v", err)
		case <-timeout.C:
			c.t.Fatalf("%d pictures in %v, want %d; master %+v, viewer %+v", c.got.count(media.H264)-want+n,
				time.Since(began), n, c.master.Report(), c.viewer.Report())
		}
	}
	return time.Since(began)
}

// end waits for the end of one side.
func (c *call) end(done <-chan error, within time.Duration) error {
	c.t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(within):
		c.t.Fatalf("no end within %v", within)
		return nil
	}
}

package udpbatch

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inNamespace runs a test in a network of its own, and reports whether it is there already. Where none can be had,
// TestFullBuffer and its kin have shown the same with a kernel of their own.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("UDPBATCH_NAMESPACE") != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "UDPBATCH_NAMESPACE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.Process == nil:
		t.Logf("no network namespace can be made here (%v); a kernel of our own has shown the same", err)
	case err != nil || !strings.Contains(string(out), "--- PASS"):
		t.Fatalf("in a namespace: %v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
	return false
}

func ip(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		f := strings.Fields(c)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
	}
}

const (
	behindSlow   = "10.8.0.2:9"
	behindGood   = "10.9.0.2:9"
	behindNarrow = "10.9.0.3:9"  // a path with a small MTU
	behindNone   = "10.10.0.2:9" // a path that nobody knows
)

// links makes a slow link and a good one, whose far ends take and forget everything.
func links(t *testing.T, rate string) {
	t.Helper()
	ip(t,
		"ip link set lo up",
		"ip link add name slow type veth peer name slow1", "ip link set slow up", "ip link set slow1 up",
		"ip link add name good type veth peer name good1", "ip link set good up", "ip link set good1 up",
		"ip addr add 10.8.0.1/24 dev slow", "ip addr add 10.9.0.1/24 dev good",
		"ip neigh add 10.8.0.2 lladdr 02:00:00:00:00:01 dev slow nud permanent",
		"ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev good nud permanent",
		"ip neigh add 10.9.0.3 lladdr 02:00:00:00:00:03 dev good nud permanent",
		"ip route add 10.9.0.3/32 dev good mtu lock 800",
		"ip route add unreachable 10.10.0.0/24",
		"tc qdisc add dev slow root tbf rate "+rate+" burst 3000 limit 100000000",
	)
}

// TestSlowLink fills the socket's buffer with what waits for a slow link: nobody waits for that any longer than Send's
// patience.
func TestSlowLink(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	links(t, "64kbit")
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetWriteBuffer(212992) // what a host with the usual net.core.wmem_max gives at most
	run := func(to string) Run {
		return Run{To: netip.MustParseAddrPort(to), Data: make([]byte, 20*1200), Size: 1200}
	}
	for _, way := range []Way{Segmented, Batched, Single} {
		s := New(conn)
		s.Limit(way)
		var slow, good []time.Duration
		for range 100 {
			at := time.Now()
			s.Send([]Run{run(behindSlow)})
			slow = append(slow, time.Since(at))
		}
		done, stop := make(chan struct{}), make(chan struct{})
		go func() { // somebody else has the socket full all the time
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					s.Send([]Run{run(behindSlow)})
				}
			}
		}()
		for range 50 {
			at := time.Now()
			s.Send([]Run{run(behindGood)})
			if _, err := s.WriteTo([]byte{1}, netip.MustParseAddrPort(behindGood)); err != nil {
				t.Error(err)
			}
			good = append(good, time.Since(at))
		}
		close(stop)
		<-done
		slices.Sort(slow)
		slices.Sort(good)
		t.Logf("way %d: a send to the slow link took %v, the longest %v; two to the good one meanwhile %v, the "+
			"longest %v; %d datagrams dropped",
			way, slow[90], slow[99], good[45], good[49], s.Dropped())
		if slow[90] > 10*patience || good[45] > 20*patience || slow[99] > time.Second || good[49] > time.Second {
			t.Errorf("way %d: who sends waited %v and %v, once %v and %v", way, slow[90], good[45], slow[99], good[49])
		}
		if s.Dropped() == 0 || s.Way() != way {
			t.Errorf("%d datagrams dropped, the way is %d, want some, %d", s.Dropped(), s.Way(), way)
		}
	}
}

// TestPathsOfTheKernel: a path with a small MTU, none at all, and one that a firewall closes, beside a good one.
func TestPathsOfTheKernel(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	links(t, "1gbit")
	ip(t, "nft add table ip t", "nft add chain ip t o { type filter hook output priority 0 ; }",
		"nft add rule ip t o ip daddr 10.8.0.2 drop")
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := New(conn)
	run := func(to string) Run {
		return Run{To: netip.MustParseAddrPort(to), Data: make([]byte, 20*1200), Size: 1200}
	}
	for range 10 {
		before := s.Dropped()
		s.Send([]Run{run(behindGood), run(behindNarrow), run(behindGood), run(behindNone), run(behindSlow),
			run(behindGood)})
		if n := s.Dropped() - before; n != 40 {
			t.Errorf("%d datagrams dropped, want 40: the firewall's and those without a path", n)
		}
	}
	if s.Way() != Segmented || !s.plain.has(netip.MustParseAddrPort(behindNarrow)) ||
		s.plain.has(netip.MustParseAddrPort(behindGood)) {
		t.Errorf("the way is %d; the narrow path is known as such: %v", s.Way(),
			s.plain.has(netip.MustParseAddrPort(behindNarrow)))
	}
}

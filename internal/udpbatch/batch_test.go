package udpbatch_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
)

func listen(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	_ = conn.SetWriteBuffer(4 << 20)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func addr(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// row is the data of a run of n datagrams of size bytes and a last one of rest bytes, each filled with its number.
func row(n, size, rest int) []byte {
	var b []byte
	for i := range n {
		b = append(b, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	return append(b, bytes.Repeat([]byte{byte(n)}, rest)...)
}

func expect(t *testing.T, c *net.UDPConn, run udpbatch.Run) {
	t.Helper()
	buf := make([]byte, 2000)
	for i, data := 0, run.Data; len(data) > 0; i++ {
		n := min(run.Size, len(data))
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		got, err := c.Read(buf)
		if err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
		if !bytes.Equal(buf[:got], data[:n]) {
			t.Fatalf("datagram %d has %d bytes of %d, want %d of %d", i, got, buf[0], n, data[0])
		}
		data = data[n:]
	}
}

func TestEveryWayDeliversTheSame(t *testing.T) {
	for _, tt := range []struct{ from, to string }{
		{"127.0.0.1:0", "127.0.0.1:0"},
		{"[::]:0", "127.0.0.1:0"},
		{"[::]:0", "[::1]:0"},
	} {
		for _, way := range []udpbatch.Way{udpbatch.Segmented, udpbatch.Batched, udpbatch.Single} {
			t.Run(fmt.Sprintf("%s to %s, way %d", tt.from, tt.to, way), func(t *testing.T) {
				s := udpbatch.New(listen(t, tt.from))
				s.Limit(way)
				a, b := listen(t, tt.to), listen(t, tt.to)
				runs := []udpbatch.Run{
					{To: addr(a), Data: row(20, 1200, 0), Size: 1200},
					{To: addr(b), Data: row(7, 1000, 300), Size: 1000},
					{To: addr(a), Data: row(0, 0, 100), Size: 100},
					{To: addr(b), Data: row(udpbatch.MaxSegments, 900, 0), Size: 900},
				}
				s.Send(runs)
				for i, c := range []*net.UDPConn{a, b, a, b} {
					expect(t, c, runs[i])
				}
				if s.Dropped() != 0 {
					t.Errorf("%d datagrams dropped", s.Dropped())
				}
				if s.Way() != way {
					t.Errorf("the way became %d, want %d", s.Way(), way)
				}
			})
		}
	}
}

func TestManyRunsInOneSend(t *testing.T) {
	s := udpbatch.New(listen(t, "127.0.0.1:0"))
	to := listen(t, "127.0.0.1:0")
	var runs []udpbatch.Run
	for range 300 {
		runs = append(runs, udpbatch.Run{To: addr(to), Data: row(1, 100, 50), Size: 100})
	}
	s.Send(runs)
	for _, r := range runs {
		expect(t, to, r)
	}
}

func TestAddressWithoutAWayCostsOnlyItsOwn(t *testing.T) {
	s := udpbatch.New(listen(t, "127.0.0.1:0"))
	to := listen(t, "127.0.0.1:0")
	good := udpbatch.Run{To: addr(to), Data: row(3, 500, 0), Size: 500}
	// Port 0 is nobody's.
	bad := udpbatch.Run{To: netip.MustParseAddrPort("127.0.0.1:0"), Data: row(3, 500, 0), Size: 500}
	s.Send([]udpbatch.Run{good, bad, good})
	expect(t, to, good)
	expect(t, to, good)
	if s.Dropped() != 3 {
		t.Errorf("%d datagrams dropped, want the 3 of the bad run", s.Dropped())
	}
	if s.Way() != udpbatch.Segmented {
		t.Errorf("one bad address made the way %d for all", s.Way())
	}
}

func TestClosedSocket(t *testing.T) {
	conn := listen(t, "127.0.0.1:0")
	s := udpbatch.New(conn)
	_ = conn.Close()
	s.Send([]udpbatch.Run{{To: netip.MustParseAddrPort("127.0.0.1:9"), Data: row(2, 100, 0), Size: 100}})
	if s.Dropped() != 2 {
		t.Errorf("%d datagrams dropped, want 2", s.Dropped())
	}
}

func BenchmarkSend(b *testing.B) {
	for _, way := range []udpbatch.Way{udpbatch.Segmented, udpbatch.Batched, udpbatch.Single} {
		b.Run(fmt.Sprintf("way %d", way), func(b *testing.B) {
			s := udpbatch.New(listen(b, "127.0.0.1:0"))
			s.Limit(way)
			var runs []udpbatch.Run
			for range 50 {
				runs = append(runs, udpbatch.Run{To: addr(listen(b, "127.0.0.1:0")), Data: row(14, 1200, 0),
					Size: 1200})
			}
			b.ReportAllocs()
			b.SetBytes(50 * 14 * 1200)
			for b.Loop() {
				s.Send(runs)
			}
		})
	}
}

package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// virtual are interfaces that lead to containers, virtual machines and tunnels of this host, by the names that their
// makers give them. Viewers have no business there, and their addresses are nobody else's.
var virtual = []string{
	"docker*", "br-*", "podman*", "cni*", "flannel*", "cali*", "lxc*", "lxd*", "virbr*", "vnet*", "vmnet*", "vboxnet*",
	"veth*", "tun*", "tap*",
}

// HostNetwork is this host's network as ICE may see it: the interfaces and addresses that the operator wants to be
// known. Unlike Pion's it looks again when it is asked, so that a new address is seen by the next connection.
//
// Pion's own filters would do the same and more: with one, it opens a socket and a TURN allocation for each address.
type HostNetwork struct {
	transport.Net
	interfaces         []string // patterns of path.Match; nil is all but virtual ones
	addresses          []netip.Prefix
	no4, no6, loopback bool

	mu     sync.Mutex // guards the fields below
	seen   []*transport.Interface
	seenAt time.Time
}

// lookAgain is how long what was seen is believed. A viewer that comes asks several times, and each of its candidates
// once more; to look is a call of the kernel for each interface.
const lookAgain = 250 * time.Millisecond

// HostOptions say what of the host's network ICE may see, as EngineOptions do.
type HostOptions struct {
	Interfaces []string       // patterns of path.Match; nil is all but virtual ones
	Addresses  []netip.Prefix // nil is all
	NoIPv4     bool
	NoIPv6     bool
	Loopback   bool
}

// NewHostNetwork looks at the host's interfaces.
func NewHostNetwork(o HostOptions) (*HostNetwork, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("network interfaces: %w", err)
	}
	return &HostNetwork{Net: n, interfaces: o.Interfaces, addresses: o.Addresses, no4: o.NoIPv4, no6: o.NoIPv6,
		loopback: o.Loopback}, nil
}

// Interfaces implements transport.Net.
func (h *HostNetwork) Interfaces() ([]*transport.Interface, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.seenAt.IsZero() && time.Since(h.seenAt) < lookAgain {
		return slices.Clone(h.seen), nil
	}
	seen, err := h.look()
	if err != nil {
		return nil, err
	}
	h.seen, h.seenAt = seen, time.Now()
	return slices.Clone(seen), nil
}

func (h *HostNetwork) look() ([]*transport.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("network interfaces: %w", err)
	}
	var out []*transport.Interface
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil || !h.wants(i) {
			continue // the first: gone between two looks
		}
		known := transport.NewInterface(i)
		some := false
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && h.knows(n.IP) {
				known.AddAddress(a)
				some = true
			}
		}
		if some {
			out = append(out, known)
		}
	}
	return out, nil
}

func (h *HostNetwork) wants(i net.Interface) bool {
	if i.Flags&net.FlagLoopback != 0 {
		return h.loopback
	}
	is := func(pattern string) bool { ok, _ := path.Match(pattern, i.Name); return ok }
	if len(h.interfaces) > 0 {
		return slices.ContainsFunc(h.interfaces, is)
	}
	return !slices.ContainsFunc(virtual, is)
}

func (h *HostNetwork) knows(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	a = a.Unmap()
	if !ok || a.Is4() && h.no4 || a.Is6() && h.no6 {
		return false
	}
	return len(h.addresses) == 0 || a.IsLoopback() ||
		slices.ContainsFunc(h.addresses, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Networks are the links that this host is on, with its address on each.
func (h *HostNetwork) Networks() (out []netip.Prefix) {
	interfaces, err := h.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, _ := netip.AddrFromSlice(n.IP)
			ones, bits := n.Mask.Size()
			if ip = ip.Unmap(); bits == 8*net.IPv6len && ip.Is4() {
				ones -= 8 * (net.IPv6len - net.IPv4len)
			}
			out = append(out, netip.PrefixFrom(ip, ones))
		}
	}
	return out
}

var errFamily = errors.New("this kind of address is turned off (webrtc.ip)")

// Off says whether a network such as "udp6" is of a family that is turned off.
func (h *HostNetwork) Off(network string) bool {
	return h.no4 && strings.HasSuffix(network, "4") || h.no6 && strings.HasSuffix(network, "6")
}

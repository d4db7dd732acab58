package peer_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5/vnet"
)

// nats are the kinds that vnet has (RFC 4787 sections 4.1 and 5; RFC 3489 names).
var nats = []nat{
	{"none", nil},
	{"1:1", &vnet.NATType{Mode: vnet.NATModeNAT1To1}},
	{"full cone", &vnet.NATType{MappingBehavior: vnet.EndpointIndependent,
		FilteringBehavior: vnet.EndpointIndependent}},
	{"restricted", &vnet.NATType{MappingBehavior: vnet.EndpointIndependent,
		FilteringBehavior: vnet.EndpointAddrDependent}},
	{"port restricted", &vnet.NATType{MappingBehavior: vnet.EndpointIndependent,
		FilteringBehavior: vnet.EndpointAddrPortDependent}},
	{"symmetric", &vnet.NATType{MappingBehavior: vnet.EndpointAddrPortDependent,
		FilteringBehavior: vnet.EndpointAddrPortDependent}},
}

// byPeer says whether a NAT shows every peer another address.
func (n nat) byPeer() bool {
	return n.kind != nil && n.kind.MappingBehavior == vnet.EndpointAddrPortDependent
}

// byPort says whether a NAT lets nobody in but from the very port that was spoken to.
func (n nat) byPort() bool {
	return n.kind != nil && n.kind.FilteringBehavior == vnet.EndpointAddrPortDependent
}

// TestEveryNAT lets every kind of NAT meet every other, with and without TURN. Without it no way leads from a symmetric
// NAT to one that filters by port.
func TestEveryNAT(t *testing.T) {
	for _, m := range nats {
		for _, v := range nats {
			for _, withTURN := range []bool{false, true} {
				name := m.name + " to " + v.name
				if withTURN {
					name += " with TURN"
				}
				hopeless := !withTURN && (m.byPeer() && v.byPort() || v.byPeer() && m.byPort())
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						a, b := w.site(m), w.site(v)
						w.start()
						c := begin(t, a, b, callOptions{turn: withTURN})
						if hopeless {
							err := c.end(c.masterDone, 40*time.Second)
							if err == nil || !strings.Contains(err.Error(), "no way to the remote") {
								t.Errorf("the master's side ended with %v, want that ice found no way", err)
							}
							return
						}
						if took := c.plays(10); took > 6*time.Second {
							t.Errorf("ten pictures took %v", took)
						}
						r := c.master.Report()
						if (r.Local == "relay" || r.Remote == "relay") && !m.byPeer() && !v.byPeer() {
							t.Errorf("the path is %s to %s, where a direct one exists", r.Local, r.Remote)
						}
					})
				})
			}
		}
	}
}

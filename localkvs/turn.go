package localkvs

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

const turnRealm = "kinesisvideo"

// turnServer is STUN and TURN.
type turnServer struct {
	packets net.PacketConn
	stream  net.Listener
	secure  net.Listener // nil without TLS
	ip      net.IP
}

// listenTURN binds one port for UDP and TCP, and another for TLS when secure is set.
func listenTURN(addr string, secure bool) (t *turnServer, err error) {
	udp, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	if udp.IP == nil || udp.IP.IsUnspecified() {
		return nil, fmt.Errorf("turn: %s is not one address; hint: name the address that peers can reach", addr)
	}
	t = &turnServer{ip: udp.IP}
	if err := t.bind(udp, secure); err != nil {
		t.close()
		return nil, fmt.Errorf("turn: %w", err)
	}
	return t, nil
}

func (t *turnServer) bind(addr *net.UDPAddr, secure bool) (err error) {
	// A port that is free for UDP may be in use for TCP: try a few.
	for range 10 {
		if t.packets, err = net.ListenUDP("udp", addr); err != nil {
			return err
		}
		if t.stream, err = net.Listen("tcp", t.packets.LocalAddr().String()); err == nil || addr.Port != 0 {
			break
		}
		t.packets.Close()
	}
	if err != nil {
		return err
	}
	if secure {
		t.secure, err = net.Listen("tcp", net.JoinHostPort(t.ip.String(), "0"))
	}
	return err
}

func (t *turnServer) close() {
	if t.packets != nil {
		t.packets.Close()
	}
	for _, l := range []net.Listener{t.stream, t.secure} {
		if l != nil {
			l.Close()
		}
	}
}

// uris returns where a client finds the server.
func (t *turnServer) uris() []string {
	list := []string{
		"turn:" + t.packets.LocalAddr().String() + "?transport=udp",
		"turn:" + t.stream.Addr().String() + "?transport=tcp",
	}
	if t.secure != nil {
		list = append(list, "turns:"+t.secure.Addr().String()+"?transport=tcp")
	}
	return list
}

// STUNURI returns the STUN server for clients that need one, such as stun:127.0.0.1:34567. AWS has it at a well-known
// name.
func (s *Server) STUNURI() string { return "stun:" + s.turn.packets.LocalAddr().String() }

// runTURN serves until ctx is done.
func (s *Server) runTURN(ctx context.Context, conf *tls.Config) error {
	a := &allocations{limit: s.opts.Limits.Allocations, held: map[string]int{}}
	relay := &relayAddresses{
		RelayAddressGeneratorStatic: turn.RelayAddressGeneratorStatic{RelayAddress: s.turn.ip,
			Address: s.turn.ip.String()},
		bitrate: s.opts.Limits.RelayBitrate,
	}
	// A client on another machine must not reach this machine's own services through the relay.
	permit := func(_ net.Addr, peer net.IP) bool { return !peer.IsLoopback() || s.turn.ip.IsLoopback() }
	g := &gate{down: func() bool { return s.faults.get().TURNDown }, open: map[net.Conn]struct{}{}}
	cfg := turn.ServerConfig{
		Realm:         turnRealm,
		LoggerFactory: turnLog{s.opts.Log},
		PacketConnConfigs: []turn.PacketConnConfig{
			{PacketConn: gatedPackets{s.turn.packets, g}, RelayAddressGenerator: relay, PermissionHandler: permit},
		},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: gatedListener{s.turn.stream, g}, RelayAddressGenerator: relay, PermissionHandler: permit},
		},
		AuthHandler: func(ra *turn.RequestAttributes) (string, []byte, bool) {
			// Only new allocations need fresh credentials: media may use the ones it began with for hours.
			arn, ok := s.turnUser(ra.Username, ra.Method != stun.MethodAllocate)
			return arn, turn.GenerateAuthKey(ra.Username, ra.Realm, s.turnPassword(ra.Username)), ok
		},
		QuotaHandler: func(arn, _ string, _ net.Addr) bool { return a.room(arn) },
		EventHandler: turn.EventHandler{
			OnAllocationCreated: func(_, _ net.Addr, _, arn, _ string, _ net.Addr, _ int) { a.add(arn, 1) },
			OnAllocationDeleted: func(_, _ net.Addr, _, arn, _ string) { a.add(arn, -1) },
		},
	}
	if s.turn.secure != nil {
		cfg.ListenerConfigs = append(cfg.ListenerConfigs, turn.ListenerConfig{
			Listener:              gatedListener{tls.NewListener(s.turn.secure, conf), g},
			RelayAddressGenerator: relay, PermissionHandler: permit,
		})
	}
	srv, err := turn.NewServer(cfg)
	if err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	<-ctx.Done()
	err = srv.Close()
	g.close() // the library leaves that to us
	return err
}

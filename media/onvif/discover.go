// Package onvif finds cameras on the local network and asks them for their streams.
//
//	we --WS-Discovery Probe (UDP multicast 239.255.255.250:3702)--> everybody
//	cameras --ProbeMatches: their addresses--> we
//	we --SOAP over HTTP: time, capabilities, profiles, stream URIs--> camera
//
// It uses the small part of ONVIF that all cameras support: ONVIF Core (Device), and Media version 1. Answers are
// limited, and an address in an answer is followed only on the camera's own host: a password is only for the camera
// that was asked.
package onvif

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/ipv4"
)

// Limits on answers.
const (
	maxDevices  = 256
	maxDatagram = 64 << 10
	maxAnswer   = 1 << 20 // bytes of one SOAP answer
)

// Group is where cameras listen (WS-Discovery 1.0, section 2.4).
var group = netip.MustParseAddrPort("239.255.255.250:3702")

// Options says how to search. The zero value asks on every interface and waits three seconds.
type Options struct {
	Interface string         // "" means every one with multicast and IPv4
	Target    netip.AddrPort // whom to ask; default: the group
	Wait      time.Duration  // for answers; default 3 s
}

// Device is a camera that answered.
type Device struct {
	ID      string   // its endpoint reference, a URN
	Name    string   // from its scopes, "" if missing
	Model   string   // see Name
	Address string   // URL of its device service
	Host    string   // of that URL
	Scopes  []string // all of them
}

// Discover asks and returns the devices that answered in time, sorted by host.
func Discover(ctx context.Context, o Options) ([]Device, error) {
	if !o.Target.IsValid() {
		o.Target = group
	}
	if o.Wait == 0 {
		o.Wait = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	defer conn.Close()
	if err := ask(conn, o); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(deadline); err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return listen(conn), nil
}

// ask sends the probe on each interface.
func ask(conn *net.UDPConn, o Options) error {
	question := []byte(probe(uuid()))
	to := net.UDPAddrFromAddrPort(o.Target)
	if !o.Target.Addr().IsMulticast() {
		_, err := conn.WriteTo(question, to)
		return err
	}
	interfaces, err := choose(o.Interface)
	if err != nil {
		return err
	}
	packets := ipv4.NewPacketConn(conn)
	var errs []error
	sent := 0
	for _, i := range interfaces {
		if err := packets.SetMulticastInterface(&i); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", i.Name, err))
			continue
		}
		if _, err := packets.WriteTo(question, nil, to); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", i.Name, err))
			continue
		}
		sent++
	}
	if sent == 0 {
		return fmt.Errorf("discover: no interface to ask on; hint: --interface eth0: %w", errors.Join(errs...))
	}
	return nil
}

// choose returns the interfaces to ask on.
func choose(name string) ([]net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	all = slices.DeleteFunc(all, func(i net.Interface) bool {
		if name != "" {
			return i.Name != name
		}
		return i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagLoopback != 0
	})
	if name != "" && len(all) == 0 {
		return nil, fmt.Errorf("discover: no interface %q", name)
	}
	return all, nil
}

// listen reads answers until the deadline.
func listen(conn *net.UDPConn) []Device {
	byID := map[string]Device{}
	buf := make([]byte, maxDatagram)
	for len(byID) < maxDevices {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			break
		}
		for _, d := range matches(buf[:n], from.Addr().Unmap()) {
			byID[d.ID] = d
		}
	}
	var devices []Device
	for _, d := range byID {
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b Device) int { return strings.Compare(a.Host+a.ID, b.Host+b.ID) })
	return devices
}

// probe returns the probe message (WS-Discovery 1.0, section 4.2; ONVIF Core, section 7.3).
func probe(id string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"` +
		` xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"` +
		` xmlns:n="http://www.onvif.org/ver10/network/wsdl"><s:Header><a:MessageID>urn:uuid:` + id + `</a:MessageID>` +
		`<a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To><a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>` +
		`</s:Header><s:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>`
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0xf|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// matches parses an answer. It only accepts an address on the host that the answer came from.
func matches(b []byte, from netip.Addr) (devices []Device) {
	var envelope struct {
		Matches []struct {
			ID     string `xml:"EndpointReference>Address"`
			Scopes string `xml:"Scopes"`
			XAddrs string `xml:"XAddrs"`
		} `xml:"Body>ProbeMatches>ProbeMatch"`
	}
	if xml.Unmarshal(b, &envelope) != nil {
		return nil
	}
	for _, m := range envelope.Matches {
		d := Device{ID: strings.TrimSpace(m.ID), Scopes: strings.Fields(m.Scopes)}
		for _, address := range strings.Fields(m.XAddrs) {
			u, err := url.Parse(address)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
				continue
			}
			if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.Unmap() == from {
				d.Address, d.Host = u.String(), u.Hostname()
				break
			}
		}
		if d.Address == "" || d.ID == "" {
			continue
		}
		d.Name, d.Model = scope(d.Scopes, "name"), scope(d.Scopes, "hardware")
		devices = append(devices, d)
	}
	return devices
}

// scope returns the value of a scope such as onvif://www.onvif.org/name/Front%20door.
func scope(scopes []string, key string) string {
	for _, s := range scopes {
		if value, ok := strings.CutPrefix(s, "onvif://www.onvif.org/"+key+"/"); ok {
			if text, err := url.PathUnescape(value); err == nil {
				return printable(text)
			}
		}
	}
	return ""
}

// printable makes text that a camera chose fit for one line.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return ' '
		}
		return r
	}, text)
	if r := []rune(text); len(r) > 80 {
		text = string(r[:80])
	}
	return strings.TrimSpace(text)
}

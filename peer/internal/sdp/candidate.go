package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ErrNoUse is a candidate that an honest client sends and that we have no use for. Nobody needs to be told.
var ErrNoUse = errors.New("of no use")

// Candidate is an ICE candidate (RFC 8839 section 5.1) that packets may be sent to: over UDP, for component 1. Its
// related address is not kept: nothing is sent there.
type Candidate struct {
	Foundation string     // of 1 to 32 ice-chars
	Priority   uint32     // RFC 8445 section 5.1.2
	Address    netip.Addr // without a zone, and IPv4 where it is one; invalid with a Name
	Name       string     // such as x.local (RFC 8828); "" with an Address
	Port       uint16     // never 0
	Type       string     // "host", "srflx", "prflx" or "relay"
	Ufrag      string     // of the description that it belongs to; "" when not told
}

const maxCandidateBytes = 1024

// ParseCandidate reads a candidate, as it stands behind "a=" or in RTCIceCandidateInit.candidate. The error is ErrNoUse
// for what honest clients send besides.
func ParseCandidate(text string) (Candidate, error) {
	var c Candidate
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if len(text) > maxCandidateBytes {
		return c, fmt.Errorf("candidate of %d bytes; the limit is %d", len(text), maxCandidateBytes)
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return c, fmt.Errorf("candidate with the character %q at %d: %.60q", text[i], i, text)
		}
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(text, "a="), "candidate:")
	f := words(rest, -1)
	if strings.HasPrefix(rest, " ") {
		f = append([]string{""}, f...) // an empty foundation is seen in the wild
	}
	if len(f) < 8 || f[6] != "typ" {
		return c, fmt.Errorf("candidate not understood: %.60q", text)
	}
	if f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return c, ErrNoUse // RTCP is multiplexed, and over TCP we are called
	}
	c.Foundation, c.Type = f[0], f[7]
	if len(c.Foundation) > 32 || strings.ContainsAny(c.Foundation, "-_") || CheckICEChars(c.Foundation, 1) != nil {
		c.Foundation = "0" // it orders checks, and nothing more
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return c, fmt.Errorf("candidate with priority %.12q", f[3])
	}
	c.Priority = uint32(priority)
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return c, fmt.Errorf("candidate with port %.10q", f[5])
	}
	c.Port = uint16(port)
	if err := c.setAddress(f[4]); err != nil {
		return c, err
	}
	return c, c.setMore(f[8:])
}

// setAddress takes an address, or a name of the local network. Other names are never looked up, and IPv4 has four
// decimal numbers.
func (c *Candidate) setAddress(text string) error {
	switch c.Type {
	case "host", "srflx", "prflx", "relay":
	default:
		return fmt.Errorf("candidate of type %.20q", c.Type)
	}
	a, err := netip.ParseAddr(text)
	if err == nil {
		c.Address = a.Unmap().WithZone("")
		return nil
	}
	label, local := strings.CutSuffix(text, ".local")
	if !local {
		return fmt.Errorf("candidate with %.60q for an address", text)
	}
	if c.Type != "host" || len(text) > 253 || label == "" || strings.Trim(label, nameChars) != "" {
		return fmt.Errorf("candidate with the name %.60q", text)
	}
	c.Name = text
	return nil
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."

// setMore takes what we need of the pairs behind the type.
func (c *Candidate) setMore(pairs []string) error {
	for ; len(pairs) > 1; pairs = pairs[2:] {
		if pairs[0] == "ufrag" {
			return c.SetUfrag(pairs[1])
		}
	}
	return nil
}

// SetUfrag says which description the candidate belongs to.
func (c *Candidate) SetUfrag(ufrag string) error {
	if err := CheckICEChars(ufrag, 4); err != nil {
		return fmt.Errorf("candidate with a ufrag that %w", err)
	}
	c.Ufrag = ufrag
	return nil
}

// String writes the candidate as Pion is to read it.
func (c Candidate) String() string {
	b := make([]byte, 0, 96)
	b = append(append(append(b, "candidate:"...), c.Foundation...), " 1 udp "...)
	b = append(strconv.AppendUint(b, uint64(c.Priority), 10), ' ')
	if c.Name != "" {
		b = append(b, c.Name...)
	} else {
		b = c.Address.AppendTo(b)
	}
	b = strconv.AppendUint(append(b, ' '), uint64(c.Port), 10)
	b = append(append(b, " typ "...), c.Type...)
	if c.Ufrag != "" {
		b = append(append(b, " ufrag "...), c.Ufrag...)
	}
	return string(b)
}

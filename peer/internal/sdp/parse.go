package sdp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits is how large a description may be. A field that is 0 has its default.
type Limits struct {
	Bytes    int // of the text; default 32 KiB
	Sections int // of media; default 8
}

// What nobody has a reason to change: it follows from the length of a description.
const (
	maxLines      = 1000
	maxLineBytes  = 2048
	MaxCandidates = 32 // of a section with an address, and as many with a name; Pion takes those of one section
)

// Description is a session description (RFC 8866) as it was read.
type Description struct {
	Name     string    // of the session; "" for none
	Sections []Section // of media, in order
	session  string    // user name and session id of the o= line
	version  string    // of the session, likewise
	scope              // the session's own attributes
	size     int       // bytes of the text

	Surplus int // candidates that were left out, since a section had too many
}

// Section is one section of media.
type Section struct {
	Media      string      // such as "video"
	Port       int         // 0 is a section that is rejected, or left to the bundle
	Proto      string      // such as "UDP/TLS/RTP/SAVPF"
	Formats    []string    // payload types, or the name of what a data channel carries
	Candidates []Candidate // that are of use to us
	Mid        string      // "" for none
	scope
}

// scope is the attributes of a session or a section.
type scope struct {
	ufrag, pwd string // of ICE
	attributes []attribute
}

type attribute struct{ key, value string }

// has says whether there is an attribute.
func (s *scope) has(key string) bool {
	for i := range s.attributes {
		if s.attributes[i].key == key {
			return true
		}
	}
	return false
}

// value is that of the first attribute with a key.
func (s *scope) value(key string) string {
	for i := range s.attributes {
		if s.attributes[i].key == key {
			return s.attributes[i].value
		}
	}
	return ""
}

// Parse reads a session description as its clients write it: lines end with or without a carriage return, they come in
// any order within the session and within a section, and a line that is not known is left out (all as in the KVS C
// SDK). Control characters are refused before anything else is looked at. Errors name the line.
func Parse(text string, l Limits) (*Description, error) {
	if l.Bytes == 0 {
		l.Bytes = 32 << 10
	}
	if l.Sections == 0 {
		l.Sections = 8
	}
	if len(text) > l.Bytes {
		return nil, fmt.Errorf("sdp of %d bytes; the limit is %d", len(text), l.Bytes)
	}
	p := parser{d: &Description{size: len(text)}, most: l.Sections}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) { // a byte order mark
		if err := p.line(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")); err != nil {
			return nil, err
		}
	}
	return p.end()
}

type parser struct {
	d          *Description
	lines      int
	begun      bool // with v=0
	most       int  // sections
	sections   int  // found
	candidates int  // with an address, of the section that is open
	named      int  // likewise with a name
}

func (p *parser) line(line string) error {
	p.lines++
	if len(line) > maxLineBytes {
		return fmt.Errorf("sdp line %d has %d bytes; the limit is %d", p.lines, len(line), maxLineBytes)
	}
	ascii, err := checkText(line)
	if err != nil {
		return fmt.Errorf("sdp line %d %w", p.lines, err)
	}
	if line == "" {
		return nil
	}
	if !p.begun {
		if !strings.HasPrefix(line, "v=0") {
			return fmt.Errorf("not an sdp: it begins with %.20q, not with \"v=0\"", line)
		}
		p.begun = true
		return nil
	}
	if p.sections > p.most || p.lines > maxLines || len(line) < 2 || line[1] != '=' {
		return nil
	}
	value := line[2:]
	switch line[0] {
	case 'o':
		if f := words(value, 4); len(f) > 2 {
			p.d.session, p.d.version = f[0]+" "+f[1], f[2]
		}
	case 's':
		if p.sections == 0 && strings.Trim(value, " ") != "-" {
			p.d.Name = value
		}
	case 'm':
		return p.media(value)
	case 'a':
		if ascii || printable(value) {
			return p.attribute(value)
		}
	}
	return nil
}

func (p *parser) end() (*Description, error) {
	switch {
	case !p.begun:
		return nil, fmt.Errorf("not an sdp: it begins with \"\", not with \"v=0\"")
	case p.lines > maxLines:
		return nil, fmt.Errorf("sdp of %d lines; the limit is %d", p.lines, maxLines)
	case p.sections > p.most:
		return nil, fmt.Errorf("sdp with %d media sections; the limit is %d", p.sections, p.most)
	case p.sections == 0:
		return nil, fmt.Errorf("sdp without a media section")
	}
	p.d.complete()
	return p.d, nil
}

// media begins a section: m=<media> <port> <proto> <fmt> ... (RFC 8866 section 5.14).
func (p *parser) media(value string) error {
	if p.sections++; p.sections > p.most {
		return nil
	}
	f := words(value, -1)
	if len(f) < 4 {
		return fmt.Errorf("sdp line %d: m= has %d fields; hint: media, port, protocol and format", p.lines, len(f))
	}
	number, _, _ := strings.Cut(f[1], "/")
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return fmt.Errorf("sdp line %d: m= has port %.10q", p.lines, f[1])
	}
	for i, word := range f {
		if i == 2 {
			word = strings.ReplaceAll(word, "/", "")
		}
		if i != 1 && !token(word) {
			return fmt.Errorf("sdp line %d: m= has the field %.20q", p.lines, f[i])
		}
	}
	p.candidates, p.named = 0, 0
	p.d.Sections = append(p.d.Sections, Section{Media: f[0], Port: int(port), Proto: f[2], Formats: f[3:]})
	return nil
}

// attribute takes one for the session or for the section that is open.
func (p *parser) attribute(line string) error {
	key, value, _ := strings.Cut(line, ":")
	if !token(key) {
		return nil
	}
	value = strings.Trim(value, " ")
	to, section := &p.d.scope, (*Section)(nil)
	if n := len(p.d.Sections); n > 0 {
		section = &p.d.Sections[n-1]
		to = &section.scope
	}
	var once *string // the first counts
	switch key {
	case "candidate":
		return p.candidate(section, value)
	case "remote-candidates", "rtcp": // addresses without use: media is multiplexed, and ICE finds its way
		return nil
	case "simulcast", "rid": // one stream is sent and taken, which is what an answer without them means (RFC 8853)
		return nil
	case "ice-ufrag":
		if err := CheckICEChars(value, 4); err != nil {
			return fmt.Errorf("sdp line %d: ice-ufrag %w", p.lines, err)
		}
		once = &to.ufrag
	case "ice-pwd":
		if err := CheckICEChars(value, 22); err != nil {
			return fmt.Errorf("sdp line %d: ice-pwd %w", p.lines, err)
		}
		once = &to.pwd
	case "mid":
		if section == nil {
			return nil
		}
		once = &section.Mid
	}
	switch {
	case once == nil:
		to.attributes = append(to.attributes, attribute{key, value})
	case *once == "":
		*once = value
	}
	return nil
}

// candidate takes one that is of use. One of the session is of no use to anybody (RFC 8839 section 5.1), and one that
// is not understood is left out, as an unknown line is.
func (p *parser) candidate(section *Section, value string) error {
	if section == nil {
		return nil
	}
	c, err := ParseCandidate(value)
	if err == ErrNoUse {
		return nil
	}
	if err != nil {
		return nil
	}
	n := &p.candidates
	if c.Name != "" {
		n = &p.named
	}
	if *n++; *n > MaxCandidates {
		p.d.Surplus++
		return nil
	}
	section.Candidates = append(section.Candidates, c)
	return nil
}

// Connectable says why a description is not enough for a connection: it needs ICE credentials and a DTLS fingerprint.
func (d *Description) Connectable() error {
	var ufrag, pwd, fingerprint bool
	for _, s := range d.scopes() {
		ufrag = ufrag || s.ufrag != ""
		pwd = pwd || s.pwd != ""
		fingerprint = fingerprint || s.has("fingerprint")
	}
	switch {
	case !ufrag || !pwd:
		return fmt.Errorf("sdp without ice-ufrag and ice-pwd")
	case !fingerprint:
		return fmt.Errorf("sdp without a dtls fingerprint")
	}
	return nil
}

// scopes are the session's and the sections', in order.
func (d *Description) scopes() []*scope {
	out := make([]*scope, 0, 1+len(d.Sections))
	out = append(out, &d.scope)
	for i := range d.Sections {
		out = append(out, &d.Sections[i].scope)
	}
	return out
}

// Mids lists the mid of each section; "" for none.
func (d *Description) Mids() []string {
	out := make([]string, len(d.Sections))
	for i := range d.Sections {
		out[i] = d.Sections[i].Mid
	}
	return out
}

// rejected says whether a section is turned down (RFC 3264 section 6). Port 0 alone does not say so: a section that is
// sent only within the bundle has that, too (RFC 9143 section 6).
func (s *Section) rejected() bool { return s.Port == 0 && !s.has("bundle-only") }

// DataAlone says whether there is a section for data channels that can be taken while all others are turned down: one
// that is sent only within the bundle needs the section that carries that (RFC 9143 section 6).
func (d *Description) DataAlone() bool {
	return slices.ContainsFunc(d.Sections, func(s Section) bool { return s.Media == "application" && s.Port != 0 })
}

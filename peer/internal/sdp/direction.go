package sdp

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Direction is which way media may flow in a section, as the writer of a description sees it (RFC 8866 section 6.7).
type Direction struct{ Send, Receive bool }

var directions = map[string]Direction{
	"sendrecv": {true, true}, "sendonly": {true, false}, "recvonly": {false, true}, "inactive": {},
}

func (d Direction) String() string {
	for name, x := range directions {
		if x == d {
			return name
		}
	}
	return ""
}

// direction is the first among the attributes.
func (s *scope) direction() (d Direction, ok bool) {
	for _, a := range s.attributes {
		if d, ok = directions[a.key]; ok && a.value == "" {
			return d, true
		}
	}
	return d, false
}

// direction is that of a section, its own or the session's; a section that is turned down has none.
func (d *Description) direction(s *Section) Direction {
	if s.rejected() {
		return Direction{}
	}
	for _, from := range []*scope{&s.scope, &d.scope} {
		if dir, ok := from.direction(); ok {
			return dir
		}
	}
	return Direction{true, true}
}

// Flow is which way media flows in the sections of one connection. What a remote does not want to receive is paused:
// Pion is shown a remote that receives it all the same, since it stops a section for good that is inactive once, or is
// turned down. The remote is told what is true. The zero value knows no section.
type Flow struct {
	sections map[string]*flow // by the mid that Pion knows
	order    []string         // those, as they stand in the remote's last description

	described bool   // by the remote, once
	client    bool   // of DTLS, which we are when the remote insists
	only      string // the mid of the one section of a remote that does not bundle; "" when it does
	nameless  bool   // the remote gives its sections no mids
}

type flow struct {
	mid     string    // by which the remote knows it
	remote  Direction // what the remote wants
	sends   bool      // Pion knows that the remote may send
	stopped bool      // the remote has turned it down
	last    Section   // as Pion last saw it
}

// media says whether a section is for sound or pictures.
func (s *Section) media() bool { return s.Media == "video" || s.Media == "audio" }

// Steady notes what a description of the remote's says, and gives it as Pion may see it. For an answer, ours is the
// offer of ours that it answers; "" for an offer of the remote's.
func (f *Flow) Steady(d *Description, ours string) *Description {
	out := *d
	out.Sections = slices.Clone(d.Sections)
	if f.sections == nil {
		f.sections = map[string]*flow{}
	}
	if ours == "" {
		f.name(&out)
		f.bundle(&out)
	}
	d = &out
	if !f.described {
		f.described = true
		f.client = slices.ContainsFunc(d.scopes(), func(s *scope) bool { return s.value("setup") == "passive" })
	}
	wanted := sendsOf(ours)
	order := make([]string, len(d.Sections))
	for i := range out.Sections {
		s := &out.Sections[i]
		mid := f.known(d, i)
		order[i] = mid
		if !s.media() || s.Mid == "" || f.only != "" && s.Mid != f.only {
			continue
		}
		x := f.sections[mid]
		if x == nil {
			if s.rejected() {
				continue // nothing has been made for it
			}
			x = &flow{}
			f.sections[mid] = x
		}
		x.mid, x.remote, x.stopped = s.Mid, d.direction(s), s.rejected()
		x.sends = x.sends || x.remote.Send
		if x.stopped {
			again := x.last
			again.Candidates = nil
			again.ufrag, again.pwd = d.credentials()
			*s = again
			out.attributes = bundled(out.attributes, mid)
			continue
		}
		if s.Mid != mid {
			out.attributes = renamed(out.attributes, s.Mid, mid)
			s.Mid = mid
		}
		s.attributes = slices.DeleteFunc(slices.Clone(s.attributes), func(a attribute) bool {
			_, is := directions[a.key]
			return is
		})
		to := Direction{x.sends, x.remote.Receive || ours == "" || wanted[mid]}
		s.attributes = append(s.attributes, attribute{key: to.String()})
		x.last = *s
	}
	f.order = order
	return &out
}

// name gives mids to sections that have none: Pion insists on them.
func (f *Flow) name(d *Description) {
	if !f.described {
		f.nameless = !slices.ContainsFunc(d.Mids(), func(mid string) bool { return mid != "" })
	}
	for i := range d.Sections {
		if d.Sections[i].Mid == "" {
			d.Sections[i].Mid = "section-" + strconv.Itoa(i)
		}
	}
}

// bundle makes the sections of a remote fit for one transport: those outside its bundle are turned down. Of a remote
// that does not bundle the picture is taken, or else the sound.
func (f *Flow) bundle(d *Description) {
	if slices.ContainsFunc(d.attributes, func(a attribute) bool { return a.key == "group" && d.bundles(a.value) }) {
		d.turnDownAllBut(d.bundle())
		return
	}
	if f.only == "" {
		for _, kind := range []string{"application", "audio", "video"} {
			for i := len(d.Sections) - 1; i >= 0; i-- {
				if s := &d.Sections[i]; s.Media == kind && !s.rejected() {
					f.only = s.Mid
				}
			}
		}
	}
	d.turnDownAllBut([]string{f.only})
	d.attributes = append(less(d.attributes, "group"), attribute{"group", "BUNDLE " + f.only})
}

// turnDownAllBut rejects the sections of other mids.
func (d *Description) turnDownAllBut(mids []string) {
	for i := range d.Sections {
		if s := &d.Sections[i]; !slices.Contains(mids, s.Mid) {
			s.Port = 0
			s.attributes = less(s.attributes, "bundle-only")
		}
	}
}

// less is attributes without those of a key.
func less(attributes []attribute, key string) []attribute {
	return slices.DeleteFunc(slices.Clone(attributes), func(a attribute) bool { return a.key == key })
}

// known is the mid by which Pion knows section i. A remote may use the place of a section that it has stopped for
// another one, which has a mid of its own (RFC 8829 section 5.2.2).
func (f *Flow) known(d *Description, i int) string {
	s := &d.Sections[i]
	for mid, x := range f.sections {
		if x.mid == s.Mid {
			return mid
		}
	}
	if i < len(f.order) {
		if x := f.sections[f.order[i]]; x != nil && s.media() && x.last.Media == s.Media &&
			!slices.Contains(d.Mids(), x.mid) {
			return f.order[i]
		}
	}
	return s.Mid
}

// credentials are the ICE credentials of the first section that is not turned down.
func (d *Description) credentials() (ufrag, pwd string) {
	for i := range d.Sections {
		if s := &d.Sections[i]; !s.rejected() && s.ufrag != "" {
			return s.ufrag, s.pwd
		}
	}
	return d.ufrag, d.pwd
}

// bundled puts a mid into the bundle, if there is one.
func bundled(attributes []attribute, mid string) []attribute {
	out := slices.Clone(attributes)
	for i, a := range out {
		if f := words(a.value, -1); a.key == "group" && len(f) > 0 && f[0] == "BUNDLE" && !slices.Contains(f, mid) {
			out[i].value += " " + mid
		}
	}
	return out
}

// renamed changes a mid in the groups.
func renamed(attributes []attribute, from, to string) []attribute {
	out := slices.Clone(attributes)
	for i, a := range out {
		if a.key != "group" {
			continue
		}
		f := words(a.value, -1)
		for n := range f {
			if n > 0 && f[n] == from {
				f[n] = to
			}
		}
		out[i].value = strings.Join(f, " ")
	}
	return out
}

// Wants says whether the remote wants to receive what we send in a section, by the mid that Pion knows.
func (f *Flow) Wants(mid string) bool {
	x := f.sections[mid]
	return x == nil || x.remote.Receive
}

// Paused says whether there is a section in which the remote neither sends nor receives what it once did.
func (f *Flow) Paused() bool {
	for _, x := range f.sections {
		if !x.remote.Receive && !x.remote.Send {
			return true
		}
	}
	return false
}

// Mid is the one by which the remote knows a section of Pion's.
func (f *Flow) Mid(mid string) string {
	if x := f.sections[mid]; x != nil {
		return x.mid
	}
	return mid
}

// Told writes into a description of ours what each section really does. Pion agrees to receive whenever the remote
// would like to send, and promises to send where it has no track: a page that is told of a track without a stream
// shows that in place of the picture. receives: we take what the remote sends. answer: it answers an offer, so that it
// may promise no more than that wants.
func (f *Flow) Told(ours string, receives, answer bool) string {
	sections := strings.Split(ours, "\nm=")
	var stopped []string
	for i, text := range sections {
		if i == 0 || strings.HasPrefix(text, "application") {
			continue
		}
		mid := lineOf(text, "a=mid:")
		x := f.sections[mid]
		dir, ok := directionOf(text)
		if !ok {
			continue
		}
		if !receives {
			dir = Direction{Send: strings.Contains(text, "\na=msid:") || strings.Contains(text, "\na=ssrc:")}
		}
		if x != nil && answer {
			dir = Direction{dir.Send && x.remote.Receive, dir.Receive && x.remote.Send}
		}
		if x != nil && x.stopped {
			dir = Direction{}
			kind, rest, _ := strings.Cut(text, " ")
			_, rest, _ = strings.Cut(rest, " ")
			text = kind + " 0 " + rest
			stopped = append(stopped, x.mid)
		}
		text = withDirection(text, dir)
		if x != nil && x.mid != mid {
			text = strings.Replace(text, "\na=mid:"+mid+"\r", "\na=mid:"+x.mid+"\r", 1)
		}
		sections[i] = text
	}
	sections[0] = f.group(sections[0], stopped)
	text := strings.Join(sections, "\nm=")
	if answer && f.client {
		text = strings.ReplaceAll(text, "\na=setup:passive\r", "\na=setup:active\r")
	}
	if answer && f.nameless {
		text = midLine.ReplaceAllString(text, "")
	}
	return text
}

var midLine = regexp.MustCompile(`(?m)^a=mid:.*\r\n`)

// group writes the bundle with the remote's mids, and without the sections that are stopped.
func (f *Flow) group(session string, stopped []string) string {
	bundle := lineOf(session, "a=group:BUNDLE")
	if bundle == "" {
		return session
	}
	if f.only != "" || f.nameless {
		return strings.Replace(session, "\na=group:BUNDLE"+bundle+"\r", "", 1)
	}
	written := ""
	for _, mid := range words(bundle, -1) {
		if mid = f.Mid(mid); !slices.Contains(stopped, mid) {
			written += " " + mid
		}
	}
	return strings.Replace(session, "a=group:BUNDLE"+bundle+"\r", "a=group:BUNDLE"+written+"\r", 1)
}

// lineOf is the rest of the first line of a text of ours that begins so.
func lineOf(text, begin string) string {
	_, rest, ok := strings.Cut(text, "\n"+begin)
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "\r")
	return rest
}

func directionOf(text string) (d Direction, ok bool) {
	for name, d := range directions {
		if strings.Contains(text, "\na="+name+"\r") {
			return d, true
		}
	}
	return d, false
}

func withDirection(text string, d Direction) string {
	for name := range directions {
		text = strings.Replace(text, "\na="+name+"\r", "\na="+d.String()+"\r", 1)
	}
	return text
}

// sendsOf lists the mids of the sections in which a text of ours sends.
func sendsOf(ours string) map[string]bool {
	out := map[string]bool{}
	for i, text := range strings.Split(ours, "\nm=") {
		if d, ok := directionOf(text); i > 0 && ok && d.Send {
			out[lineOf(text, "a=mid:")] = true
		}
	}
	return out
}

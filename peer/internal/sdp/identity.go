package sdp

import (
	"slices"
	"strings"
)

// Identity is who made a description. A page that was reloaded, or another device, has another one, whatever name it
// goes by.
type Identity struct {
	Fingerprint string // of its DTLS certificate, in lower case; "" when it is missing
	// User name and session id of the o= line, the same in all descriptions of a connection (RFC 8829 section 5.2.1)
	session string
	version string   // of the description, in the o= line
	Ufrags  []string // of ICE; they change when ICE is restarted
	carrier string   // mid of the section that carries libwebrtc's bundle
}

// Identity is that of who made the description.
func (d *Description) Identity() Identity {
	id := Identity{session: d.session, version: d.version}
	if bundle := d.bundle(); len(bundle) > 0 && d.libwebrtc() {
		id.carrier = bundle[0]
	}
	for _, s := range d.scopes() {
		if id.Fingerprint == "" {
			id.Fingerprint = strings.ToLower(s.value("fingerprint"))
		}
		if s.ufrag != "" {
			id.Ufrags = append(id.Ufrags, s.ufrag)
		}
	}
	return id
}

// Same says whether two descriptions come from one connection. Some clients make all their connections with one
// certificate, and some make up a new session id for each description; none does both and restarts ICE. A client whose
// o= line never changes restarts nothing with it: what changes has another version (RFC 3264 section 8). And libwebrtc
// drops the connection with the section that carries its bundle, and begins another with the one that does then.
func (id Identity) Same(o Identity) bool {
	if id.Fingerprint == "" || id.Fingerprint != o.Fingerprint || id.carrier != o.carrier {
		return false
	}
	return id.SameICE(o) || id.session == o.session && id.version != o.version
}

// libwebrtc says whether the description is that of Chromium, Safari and their kin: they list their streams behind WMS,
// where Firefox and Pion have a star.
func (d *Description) libwebrtc() bool {
	v := d.value("msid-semantic")
	return strings.HasPrefix(v, "WMS") && !strings.HasSuffix(v, "*")
}

// Firefox says whether the description is Firefox's, by the user name of its o= line.
func (id Identity) Firefox() bool { return strings.HasPrefix(id.session, "mozilla") }

// SameICE says whether two descriptions have the same ICE credentials.
func (id Identity) SameICE(o Identity) bool {
	for _, u := range o.Ufrags {
		if !id.Has(u) {
			return false
		}
	}
	return len(id.Ufrags) == len(o.Ufrags)
}

// Has says whether an ICE user name is in the description.
func (id Identity) Has(ufrag string) bool { return slices.Contains(id.Ufrags, ufrag) }

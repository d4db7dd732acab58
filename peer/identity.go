package peer

import "strings"

// identity is who made a description. A page that was reloaded, or another device, has another one, whatever name it goes by.
type identity struct {
	fingerprint string   // of its DTLS certificate
	session     string   // user name and session id of the o= line, the same in all descriptions of a connection (RFC 8829 section 5.2.1)
	ufrags      []string // of ICE; they change when ICE is restarted
}

// maxUfrags is how many user names of a description are kept. All sections that are bundled have the same.
const maxUfrags = 64

func identityOf(sdp string) identity {
	var id identity
	for line := range strings.Lines(sdp) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "o="):
			if f := strings.Fields(line); len(f) > 1 {
				id.session = f[0] + " " + f[1]
			}
		case strings.HasPrefix(line, "a=fingerprint:") && id.fingerprint == "":
			id.fingerprint = strings.ToLower(strings.TrimSpace(line[len("a=fingerprint:"):]))
		case strings.HasPrefix(line, "a=ice-ufrag:") && len(id.ufrags) < maxUfrags:
			id.ufrags = append(id.ufrags, line[len("a=ice-ufrag:"):])
		}
	}
	return id
}

// same says whether two descriptions come from one connection. Some clients make all their connections with one certificate, and some
// make up a new session id for each description; none does both and restarts ICE.
func (id identity) same(o identity) bool {
	return id.fingerprint != "" && id.fingerprint == o.fingerprint && (id.session == o.session || id.sameICE(o))
}

func (id identity) sameICE(o identity) bool {
	for _, u := range o.ufrags {
		if !id.has(u) {
			return false
		}
	}
	return len(id.ufrags) == len(o.ufrags)
}

func (id identity) has(ufrag string) bool {
	for _, u := range id.ufrags {
		if u == ufrag {
			return true
		}
	}
	return false
}

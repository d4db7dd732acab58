package sdp

import (
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
)

// hashes are those of certificates that Pion knows (RFC 8122 section 5), the best first.
var hashes = []string{"sha-256", "sha-384", "sha-512", "sha-224", "sha-1", "md5"}

// complete writes what a remote leaves to the standards, for readers that insist on it.
func (d *Description) complete() {
	best := d.bestHash()
	for _, s := range d.scopes() {
		s.attributes = slices.DeleteFunc(s.attributes, func(a attribute) bool {
			hash, _, _ := strings.Cut(a.value, " ")
			return a.key == "fingerprint" && best != "" && !strings.EqualFold(hash, best)
		})
	}
	for i := range d.Sections {
		d.Sections[i].completeH264()
	}
}

// bestHash is the best hash among the fingerprints; "" when none is known. Several of one certificate may stand side by
// side (RFC 8122 section 5).
func (d *Description) bestHash() string {
	best := len(hashes)
	for _, s := range d.scopes() {
		for _, a := range s.attributes {
			hash, _, _ := strings.Cut(a.value, " ")
			at := slices.Index(hashes, strings.ToLower(hash))
			if a.key == "fingerprint" && at >= 0 {
				best = min(best, at)
			}
		}
	}
	if best == len(hashes) {
		return ""
	}
	return hashes[best]
}

// What an H.264 format without a parameter has (RFC 6184 section 8.1).
const (
	h264Mode    = "packetization-mode=0"
	h264Profile = "profile-level-id=42000a"
)

// completeH264 writes the defaults of H.264 formats.
func (s *Section) completeH264() {
	for _, a := range slices.Clone(s.attributes) {
		pt, name, _ := strings.Cut(a.value, " ")
		name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "/")
		if a.key != "rtpmap" || Canonical(name) != media.H264 {
			continue
		}
		i := slices.IndexFunc(s.attributes, func(x attribute) bool {
			of, _, _ := strings.Cut(x.value, " ")
			return x.key == "fmtp" && of == pt
		})
		if i < 0 {
			s.attributes = append(s.attributes, attribute{"fmtp", pt + " " + h264Mode + ";" + h264Profile})
			continue
		}
		fmtp := strings.TrimRight(s.attributes[i].value, "; ")
		if FmtpValue(fmtp[len(pt):], "packetization-mode") == "" {
			fmtp += ";" + h264Mode
		}
		if len(FmtpValue(fmtp[len(pt):], "profile-level-id")) != 6 {
			fmtp = withoutParameter(fmtp, "profile-level-id") + ";" + h264Profile
		}
		s.attributes[i].value = fmtp
	}
}

// withoutParameter drops a parameter whose value makes no sense.
func withoutParameter(fmtp, key string) string {
	pt, list, _ := strings.Cut(fmtp, " ")
	kept := slices.DeleteFunc(strings.Split(list, ";"), func(p string) bool {
		k, _, _ := strings.Cut(strings.TrimSpace(p), "=")
		return strings.EqualFold(k, key) || k == ""
	})
	return pt + " " + strings.Join(kept, ";")
}

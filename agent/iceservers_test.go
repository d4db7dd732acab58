package agent

import (
	"fmt"
	"testing"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
)

// TestTURNWithoutCredentials: a server that cannot be logged in to is left out, and the others are used.
func TestTURNWithoutCredentials(t *testing.T) {
	const udp, tls = "turn:192.0.2.1:443?transport=udp", "turns:192.0.2.2:443?transport=tcp"
	got := firstOf([]signaling.ICEServer{
		{URLs: []string{udp}}, {URLs: []string{udp}, Username: "u"},
		{URLs: []string{tls}, Username: "u", Password: "p"},
	}, []turnKind{{"turn:", true}, {"turns:", false}})
	if len(got) != 1 || got[0].URLs[0] != tls {
		t.Errorf("of the service's servers, %v is used", got)
	}
	for _, tt := range []struct {
		server peer.ICEServer
		want   string
	}{
		{peer.ICEServer{URLs: []string{udp}, Username: "u", Credential: "p"}, "[" + udp + "]"},
		{peer.ICEServer{URLs: []string{"stun:192.0.2.1", udp}}, "[stun:192.0.2.1]"},
		{peer.ICEServer{URLs: []string{udp, tls}, Username: "u"}, ""},
		{peer.ICEServer{URLs: []string{"stun:192.0.2.1"}}, "[stun:192.0.2.1]"},
	} {
		urls := ""
		for _, s := range withoutLogin(tt.server) {
			urls += fmt.Sprint(s.URLs)
		}
		if urls != tt.want {
			t.Errorf("of %v, %s is used, want %s", tt.server.URLs, urls, tt.want)
		}
	}
}

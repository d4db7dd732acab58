package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

func TestPathsThroughRealRouters(t *testing.T) {
	t.Parallel()
	const (
		none      = ""
		symmetric = "fully-random"
		udp       = "turn:" + rig.TurnIP + ":3478?transport=udp"
		tcp       = "turn:" + rig.TurnIP + ":3478?transport=tcp"
		tls       = "turns:" + rig.TurnIP + ":5349?transport=tcp"
		dtls      = "turns:" + rig.TurnIP + ":5349?transport=udp"
		stun      = "stun:" + rig.TurnIP + ":3478"
		// But for signaling and the proxy.
		toTURN = "ct direction original ip protocol { tcp, udp } ip daddr != " + rig.ServiceIP
	)
	for _, tt := range []struct {
		name         string
		camera, view string // nft rules
		servers      []string
		cameras      []string // of the camera alone; default the same
		want         string   // in the path, ours to theirs as the viewer sees it; "" is no picture
		webrtc       string   // of the camera's config
		proxy        string   // in the environment
	}{
		{"no router", none, none, nil, nil, "host", "", ""},
		{"one router", rig.RouterRules("", ""), none, []string{stun}, nil, "srflx|prflx", "", ""},
		{"two routers", rig.RouterRules("", ""), rig.RouterRules("", ""), []string{stun}, nil, "srflx|prflx", "", ""},
		{"symmetric, no relay", rig.RouterRules(symmetric, ""), rig.RouterRules(symmetric, ""), []string{stun}, nil, "",
			"", ""},
		{"symmetric, relay over udp", rig.RouterRules(symmetric, ""), rig.RouterRules(symmetric, ""),
			[]string{stun, udp}, nil, "relay", "", ""},
		{"udp blocked, relay over tcp", rig.RouterRules("", "meta l4proto udp"), rig.RouterRules("", ""),
			[]string{stun, udp}, []string{tcp}, "relay", "", ""},
		{"udp blocked, relay over tls", rig.RouterRules("", "meta l4proto udp"),
			rig.RouterRules("", "meta l4proto udp"), []string{tls}, nil, "relay", "", ""},
		{"udp blocked, no relay", rig.RouterRules("", "meta l4proto udp"), rig.RouterRules("", ""), []string{stun}, nil,
			"", "", ""},
		{"all but udp 5349 blocked, relay over dtls", rig.RouterRules("", "ct direction original udp dport != 5349"),
			none, nil, []string{dtls}, "relay", "", ""},
		{"only a proxy, relay over tcp", rig.RouterRules("", toTURN), none, nil, []string{udp, tcp}, "relay",
			"  proxy: http://user:secret@" + rig.ProxyAt + "\n", ""},
		{"only a proxy, relay over tls", rig.RouterRules("", toTURN), none, nil, []string{tls}, "relay", "",
			"HTTPS_PROXY=http://user:secret@" + rig.ProxyAt},
		{"only a proxy that is turned off", rig.RouterRules("", toTURN), none, nil, []string{tls}, "", "  proxy: off\n",
			"HTTPS_PROXY=http://user:secret@" + rig.ProxyAt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := rig.NewInternet(t)
			n.Plug("cam", 1, tt.camera)
			n.Plug("view", 2, tt.view)
			cameras := tt.cameras
			if cameras == nil {
				cameras = tt.servers
			}
			n.Webrtc = tt.webrtc
			if strings.HasPrefix(tt.name, "only a proxy") {
				n.StartProxy()
			}
			if tt.proxy != "" {
				n.Env = []string{tt.proxy}
			}
			env := n.Serve(cameras)
			w := n.View(env, tt.servers, "3s", nil)
			if tt.want == "" {
				if w.Video != nil && w.Video.Frames > 0 || !strings.Contains(w.Error, "no way to the remote") {
					t.Errorf("view = %+v, want the words that ice found no way", w)
				}
				return
			}
			ok := false
			for want := range strings.SplitSeq(tt.want, "|") {
				ok = ok || strings.Contains(w.Path, want)
			}
			if !ok || w.Video == nil || w.Video.Frames < 30 {
				t.Errorf("view = %+v, video %+v; want a path with %s and 30 pictures", w, w.Video, tt.want)
			}
			if tt.want != "relay" && strings.Contains(w.Path, "relay") {
				t.Errorf("the path is %s, where a direct one exists", w.Path)
			}
		})
	}
}

// TestRouterForgets: the camera's router loses its table in mid-session, and gives the camera another port. The viewer
// sees the camera's checks come from a new address and answers there.
func TestRouterForgets(t *testing.T) {
	t.Parallel()
	n := rig.NewInternet(t)
	n.Plug("cam", 1, rig.RouterRules("to :20000-29999", ""))
	n.Plug("view", 2, "")
	stun := []string{"stun:" + rig.TurnIP + ":3478"}
	env := n.Serve(stun)
	w := n.View(env, stun, "15s", func() {
		time.Sleep(5 * time.Second) // some seconds of a picture
		n.SetRules("camr", rig.RouterRules("to :30000-39999", ""))
		n.In("camr", "conntrack", "-F")
	})
	if w.Video != nil {
		t.Logf("%d of about 225 pictures came, %d packets were lost", w.Video.Frames, w.Video.Lost)
	}
	if w.Video == nil || w.Video.Frames < 150 {
		t.Errorf("view = %+v, video %+v; want 150 of 225 pictures or more", w, w.Video)
	}
}

// TestIPv6Only: neither side has an address of the old kind.
func TestIPv6Only(t *testing.T) {
	t.Parallel()
	n := rig.NewInternet(t)
	n.At = "[2001:db8::1]"
	n.In("", "ip", "addr", "add", "2001:db8::1/64", "dev", "br0", "nodad")
	for i, site := range []string{"cam", "view"} {
		n.Plug(site, i+1, "")
		n.In(site, "ip", "-4", "addr", "flush", "dev", "wan")
		n.In(site, "ip", "addr", "add", fmt.Sprintf("2001:db8::1%d/64", i), "dev", "wan", "nodad")
	}
	w := n.View(n.Serve(nil), nil, "3s", nil)
	if w.Video == nil || w.Video.Frames < 30 || !strings.Contains(w.Path, "host") {
		t.Errorf("view = %+v, video %+v; want 30 pictures", w, w.Video)
	}
}

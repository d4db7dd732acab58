package e2e

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// sdk is a page with the official SDK in it. part is the function of browser/sdk.js that takes part in the channel: offer, or answer.
type sdk struct {
	arn, endpoint string // of the channel; the endpoint is the control plane's, with TLS or without
	ca            string // the CA that the endpoint's certificate is from
	role          types.ChannelRole
	clientID      string // of a viewer
	send          bool   // a picture and a tone
	relayOnly     bool   // through TURN
	data          bool   // the viewer opens a data channel

	candidatesFirst bool   // all candidates go out before the offer
	offerTo         string // the viewer that a master offers to
	through         uint16 // the port of 127.0.0.1 where an offerer reaches the remote; 0 is where the remote says

	browser *browser // nil is Chromium
}

// join opens the page and returns when its signaling is open.
func (s sdk) join(t *testing.T, part string) *page {
	t.Helper()
	p := cmp.Or(s.browser, &chromium).open(t, sdkPage(t))
	config := map[string]any{
		"channelARN": s.arn, "channelEndpoint": endpoint(t, s.endpoint, s.ca, s.arn, s.role), "role": s.role, "region": region,
		"send": s.send, "relayOnly": s.relayOnly, "data": s.data,
		"candidatesFirst": s.candidatesFirst, "offerTo": s.offerTo, "through": s.through,
	}
	if s.role == types.ChannelRoleViewer {
		config["clientId"] = s.clientID
	}
	if s.relayOnly {
		config["iceServers"] = iceServers(t, s.endpoint, s.ca, s.arn)
	}
	p.joined = func() { p.call(nil, part, config) }
	p.joined()
	return p
}

// sdkPage serves browser/sdk.html and what it loads, on loopback, where a browser allows the cryptography that signing needs.
func sdkPage(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("browser")))
	mux.HandleFunc("/kvs-webrtc.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "browser/node_modules/amazon-kinesis-video-streams-webrtc/dist/kvs-webrtc.min.js")
	})
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/sdk.html"
}

// iceServers asks with the AWS CLI for the TURN servers of the channel, in the shape of RTCConfiguration.
func iceServers(t *testing.T, url, ca, arn string) []map[string]any {
	t.Helper()
	out := awsCLI(t, ca, "kinesis-video-signaling", "get-ice-server-config", "--channel-arn", arn, "--endpoint-url", url)
	var got struct {
		IceServerList []struct {
			Uris               []string
			Username, Password string
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.IceServerList) == 0 {
		t.Fatalf("get-ice-server-config: %v in %s", err, out)
	}
	var servers []map[string]any
	for _, s := range got.IceServerList {
		servers = append(servers, map[string]any{"urls": s.Uris, "username": s.Username, "credential": s.Password})
	}
	return servers
}

// TestSDKMeetsSDK has nothing of ours but localkvs in it: what works for two official SDKs must work for us.
func TestSDKMeetsSDK(t *testing.T) {
	service := startKVS(t)
	for _, tt := range []struct{ name, url string }{
		{"over TLS", service.TLSURL},
		{"without TLS", service.URL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			arn := create(t, service.URL, strings.ReplaceAll(tt.name, " ", "-"))
			sdk{arn: arn, endpoint: tt.url, ca: service.CA, role: types.ChannelRoleMaster, send: true}.join(t, "answer")
			viewer := sdk{arn: arn, endpoint: tt.url, ca: service.CA, role: types.ChannelRoleViewer, clientID: "v1"}.join(t, "offer")
			viewer.plays(20, 320, 240, "audio/opus")
		})
	}
}

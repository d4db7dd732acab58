package rig

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/localkvs"
)

// SDK is a page with the official SDK in it. part is the function of browser/sdk.js that takes part in the channel:
// offer, or answer.
type SDK struct {
	ARN, Endpoint string // of the channel; the endpoint is the control plane's, with TLS or without
	CA            string // the CA that the endpoint's certificate is from
	Role          types.ChannelRole
	ClientID      string // of a viewer
	Send          bool   // a picture and a tone
	RelayOnly     bool   // through TURN
	Data          bool   // the viewer opens a data channel
	Policy        string // of bundling; "" is balanced

	CandidatesFirst bool   // all candidates go out before the offer
	OfferTo         string // the viewer that a master offers to
	Through         uint16 // the port of 127.0.0.1 where an offerer reaches the remote; 0 is where the remote says

	Browser *Browser // nil is Chromium
}

// Join opens the page and returns when its signaling is open.
func (s SDK) Join(t testing.TB, part string) *Page {
	t.Helper()
	p := cmp.Or(s.Browser, &Chromium).Open(t, SdkPage(t))
	config := map[string]any{
		"channelARN": s.ARN, "channelEndpoint": Endpoint(t, s.Endpoint, s.CA, s.ARN, s.Role), "role": s.Role,
		"region": Region,
		"send":   s.Send, "relayOnly": s.RelayOnly, "data": s.Data,
		"candidatesFirst": s.CandidatesFirst, "offerTo": s.OfferTo, "through": s.Through,
	}
	if s.Policy != "" {
		config["bundlePolicy"] = s.Policy
	}
	if s.Role == types.ChannelRoleViewer {
		config["clientId"] = s.ClientID
	}
	if s.RelayOnly {
		config["iceServers"] = iceServers(t, s.Endpoint, s.CA, s.ARN)
	}
	p.joined = func() { p.Call(nil, part, config) }
	p.joined()
	return p
}

// SdkPage serves browser/sdk.html and what it loads, on loopback, where a browser allows the cryptography that signing
// needs.
func SdkPage(t testing.TB) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(browserFile())))
	mux.HandleFunc("/kvs-webrtc.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, browserFile("node_modules/amazon-kinesis-video-streams-webrtc/dist/kvs-webrtc.min.js"))
	})
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/sdk.html"
}

// iceServers asks with the AWS CLI for the TURN servers of the channel, in the shape of RTCConfiguration.
func iceServers(t testing.TB, url, ca, arn string) []map[string]any {
	t.Helper()
	out := AWSCLI(t, ca, "kinesis-video-signaling", "get-ice-server-config", "--channel-arn", arn,
		"--endpoint-url", url)
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

// OpenViewer watches a channel of the service with the official SDK.
func OpenViewer(t testing.TB, service *localkvs.Server, arn, id string) *Page {
	t.Helper()
	return SDK{ARN: arn, Endpoint: service.URL(), Role: types.ChannelRoleViewer, ClientID: id}.Join(t, "offer")
}

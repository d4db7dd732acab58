package localkvs

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// FuzzMessage: a message that passes keeps to the limits and makes a readable frame.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{"action":"SDP_OFFER","messagePayload":"e30="}`,
		`{"ACTION":"ICE_CANDIDATE","MessagePayload":"e30_-w","CorrelationId":"1"}`,
		`{"action":"SDP_ANSWER","recipientClientId":["v"],"messagePayload":"e30="}`,
		`{"action":"SDP_OFFER","messagePayload":"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := parseMessage(frame)
		if err != nil {
			return
		}
		if m.MessagePayload == "" || len(m.MessagePayload) > maxPayload || m.CorrelationID != "" &&
			!isID(m.CorrelationID) {
			t.Errorf("%q passed as %+v", frame, m)
		}
		var back map[string]string
		if err := json.Unmarshal(encode(relayed{SenderClientID: "v", MessageType: m.Action,
			MessagePayload: m.MessagePayload}), &back); err != nil ||
			back["messagePayload"] != m.MessagePayload || back["messageType"] != m.Action {
			t.Errorf("relayed as %v, %v", back, err)
		}
	})
}

// FuzzSignature: nothing unsigned passes.
func FuzzSignature(f *testing.F) {
	for i := range vectors {
		f.Add(vectorRequest(i).URL.RawQuery, "")
	}
	f.Add("", "AWS4-HMAC-SHA256 Credential=a/20191201/r/kinesisvideo/aws4_request, SignedHeaders=host;;x, Signature=")
	good := map[string]bool{}
	for i := range vectors {
		good[vectors[i].signature] = true
	}
	f.Fuzz(func(t *testing.T, query, auth string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = &url.URL{Path: "/", RawQuery: query}
		r.Host = "kvs.awsamazon.com"
		r.Header = http.Header{"Authorization": {auth}, "X-Amz-Date": {"20191201T000000Z"}}
		if sc, err := vectorVerifier(vectorTime()).verify(r, nil); err == nil &&
			!good[param(r.URL.Query(), "X-Amz-Signature")] {
			t.Errorf("%q %q passed as %+v", query, auth, sc)
		}
	})
}

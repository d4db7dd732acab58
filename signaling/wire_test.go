package signaling

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testdata/frames holds frames in the shapes that the official SDKs and the service send, one per file, each with its
// meaning.
func TestGoldenFrames(t *testing.T) {
	files, err := filepath.Glob("testdata/frames/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d frames, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var tt struct {
				From    string          // which SDK or document shows this shape
				Frame   json.RawMessage // as on the wire
				Type    MessageType
				Sender  string
				Payload string
				Status  StatusError
				Err     string
			}
			if err := json.Unmarshal(raw, &tt); err != nil {
				t.Fatal(err)
			}
			got, err := decode(tt.Frame)
			if tt.Err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.Err) {
					t.Errorf("err = %v, want %q", err, tt.Err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != tt.Type || got.Sender != tt.Sender || string(got.Payload) != tt.Payload ||
				got.Status != tt.Status {
				t.Errorf("%s: got %+v (payload %s), want %+v", tt.From, got, got.Payload, tt)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		m    Message
		want string
	}{
		{Message{SDPAnswer, "viewer-1", []byte(`{"type":"answer"}`), "a-1"},
			`{"action":"SDP_ANSWER","recipientClientId":"viewer-1","messagePayload":"eyJ0eXBlIjoiYW5zd2VyIn0=","correlationId":"a-1"}`},
		{Message{ICECandidate, "", []byte(`{}`), ""}, `{"action":"ICE_CANDIDATE","messagePayload":"e30="}`},
		{Message{SDPOffer, "v", []byte(`">?~"`), "x"},
			`{"action":"SDP_OFFER","recipientClientId":"v","messagePayload":"Ij4/fiI=","correlationId":"x"}`},
	} {
		got, err := encode(tt.m)
		if err != nil || string(got) != tt.want {
			t.Errorf("encode(%+v) = %s, %v, want %s", tt.m, got, err, tt.want)
		}
	}
}

func TestDecodePayloadTakesEveryBase64(t *testing.T) {
	want := `{"a":">>>???~~~"}`
	std, url := base64.StdEncoding.EncodeToString([]byte(want)), base64.URLEncoding.EncodeToString([]byte(want))
	if std == url {
		t.Fatal("the text does not tell the alphabets apart")
	}
	for _, in := range []string{std, url, strings.TrimRight(std, "="), strings.TrimRight(url, "="),
		std[:8] + "\r\n" + std[8:] + "\n"} {
		got, err := decodePayload(in)
		if err != nil || string(got) != want {
			t.Errorf("decodePayload(%q) = %s, %v", in, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/frames/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var tt struct{ Frame json.RawMessage }
		if err := json.Unmarshal(raw, &tt); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(tt.Frame))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decode(data)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes from %d", len(err.Error()), len(data))
			}
			return
		}
		switch got.Type {
		case SDPOffer, SDPAnswer, ICECandidate:
			marked := bytes.HasPrefix(got.Payload, []byte("\ufeff")) || bytes.HasSuffix(got.Payload, []byte{0})
			if marked || got.Sender != "" && !isID(got.Sender) {
				t.Errorf("accepted %+v", got)
			}
		case goAway, reconnectICE:
		case statusResponse:
			if len(got.Status.Description) > maxStatusChars {
				t.Errorf("a description of %d bytes", len(got.Status.Description))
			}
		default:
			t.Errorf("accepted type %q", got.Type)
		}
	})
}

// We can read what we send.
func FuzzEncode(f *testing.F) {
	f.Add("viewer-1", []byte(`{"type":"offer","sdp":"v=0\r\n"}`), "c-1")
	f.Add("", []byte(`"<>&>>>???~~~"`), "")
	f.Fuzz(func(t *testing.T, id string, payload []byte, correlation string) {
		m := Message{SDPOffer, id, payload, correlation}
		if m.check(Master, true) != nil {
			return
		}
		out, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(out, "\n") || len(out) > maxFrame {
			t.Errorf("frame %s", out)
		}
		var in map[string]string
		if err := json.Unmarshal(out, &in); err != nil {
			t.Fatal(err)
		}
		got, err := decodePayload(in["messagePayload"])
		if err != nil || !bytes.Equal(got, payload) || in["recipientClientId"] != id ||
			in["correlationId"] != correlation || len(in["messagePayload"]) > MaxPayload {
			t.Errorf("sent %+v, read %v, %s, %v", m, in, got, err)
		}
	})
}

func FuzzAPIError(f *testing.F) {
	f.Add(403, "AccessDeniedException:http://x/", []byte(`{"message":"no"}`), "5")
	f.Add(400, "", []byte(`{"__type":"com.amazon.kvs#ClientLimitExceededException","Message":"slow"}`), "")
	f.Add(503, "", []byte("<html>\n"), "-1")
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte, after string) {
		h := http.Header{"X-Amzn-Errortype": {kind}, "Retry-After": {after}}
		e := newAPIError("X", &http.Response{StatusCode: status, Header: h}, body)
		if c := e.cause(); c < 0 || c >= causes || c == hopeless {
			t.Errorf("cause = %v", c)
		}
		if len(e.Error()) > 2000 || e.RetryAfter < 0 || strings.ContainsAny(e.Code, ":#") {
			t.Errorf("error = %v", e)
		}
	})
}

func FuzzICEServers(f *testing.F) {
	f.Add([]byte(`[{"Password":"p","Ttl":300,"Uris":["turn:34-1-2-3.t-1a2b.kinesisvideo.us-west-2.amazonaws.com:443?transport=udp"],"Username":"u"}]`))
	f.Add([]byte(`[{"Ttl":-1,"Uris":["stun:x","http://x"]},{"Uris":null}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []iceServerJSON
		if json.Unmarshal(data, &list) != nil {
			return
		}
		servers, ttl := readICEServers(list)
		n := 0
		for _, s := range servers {
			n += len(s.URLs)
			if len(s.URLs) == 0 || s.TTL < ttl {
				t.Errorf("servers = %+v, ttl %v", servers, ttl)
			}
		}
		if n > maxICEURLs || ttl < 0 {
			t.Errorf("%d URLs, ttl %v", n, ttl)
		}
	})
}

// TestPayloadsAsClientsEncodeThem: base64 of every kind, once or twice, with a byte order mark and zeros around it.
func TestPayloadsAsClientsEncodeThem(t *testing.T) {
	const want = `{"type":"offer","sdp":"v=0?>"}`
	b64 := base64.StdEncoding.EncodeToString
	for name, payload := range map[string]string{
		"padded":          b64([]byte(want)),
		"unpadded":        base64.RawStdEncoding.EncodeToString([]byte(want)),
		"url":             base64.RawURLEncoding.EncodeToString([]byte(want)),
		"twice":           b64([]byte(b64([]byte(want)))),
		"zeros":           b64([]byte(want + "\x00\x00")),
		"byte order mark": b64([]byte("\ufeff" + want)),
		"lines":           b64([]byte(want))[:20] + "\r\n" + b64([]byte(want))[20:],
	} {
		got, err := decodePayload(payload)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := decodePayload(b64([]byte("v=0\r\n"))); err != nil || string(got) != "v=0\r\n" {
		t.Errorf("plain text: %q, %v", got, err)
	}
}

package localkvs_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/gorilla/websocket"

	"github.com/kvsagent/kvsagent/localkvs"
)

// TestSignedAsByC makes a call like the C SDK: three headers are signed, user-agent among them, and the session token
// is added after that.
func TestSignedAsByC(t *testing.T) {
	s := start(t, localkvs.Options{})
	for _, tt := range []struct {
		name, secret string
		want         int
	}{{"right secret", localkvs.DefaultSecretKey, http.StatusOK}, {"wrong secret", "wrong", http.StatusForbidden}} {
		t.Run(tt.name, func(t *testing.T) {
			const body, agent = `{"ChannelName":"of-c"}`, "AWS-SDK-KVS/1.14.0 GCC/12.2.0 Linux/6.1 x86_64"
			at := time.Now().UTC().Format("20060102T150405Z")
			scope := at[:8] + "/" + region + "/kinesisvideo/aws4_request"
			canonical := "POST\n/createSignalingChannel\n\nhost:" + strings.TrimPrefix(s.URL(), "http://") +
				"\nuser-agent:" + agent + "\nx-amz-date:" + at +
				"\n\nhost;user-agent;x-amz-date\n" + sha(body)
			key := []byte("AWS4" + tt.secret)
			for part := range strings.SplitSeq(scope, "/") {
				key = keyed(key, part)
			}
			signature := hex.EncodeToString(keyed(key, "AWS4-HMAC-SHA256\n"+at+"\n"+scope+"\n"+sha(canonical)))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/createSignalingChannel",
				strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{
				"User-Agent": {agent}, "X-Amz-Date": {at}, "Content-Type": {"application/json"},
				"X-Amz-Security-Token": {"not signed"},
				"Authorization": {"AWS4-HMAC-SHA256 Credential=" + localkvs.DefaultAccessKey + "/" + scope +
					", SignedHeaders=host;user-agent;x-amz-date, Signature=" + signature},
			}
			resp, err := httpClient(t, s).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var text bytes.Buffer
			if _, err := io.Copy(&text, resp.Body); err != nil || resp.StatusCode != tt.want {
				t.Errorf("%s: %s %v, want %d", resp.Status, text.Bytes(), err, tt.want)
			}
		})
	}
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// TestConnectParameters connects with URLs that clients are known to make: parameter names in other cases, and a
// lifetime as long as that of the credentials.
func TestConnectParameters(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	master := dial(t, s, arn, "")
	for i, names := range [][3]string{
		{"X-Amz-ChannelARN", "X-Amz-ClientId", "299"},
		{"X-Amz-channelARN", "X-Amz-ClientID", "299"},
		{"X-Amz-ChannelARN", "X-Amz-ClientId", "3600"},
		{"X-Amz-ChannelARN", "X-Amz-ClientId", "604800"},
	} {
		id := fmt.Sprint("v", i)
		q := url.Values{names[0]: {arn}, names[1]: {id}, "X-Amz-Expires": {names[2]}}
		r, err := http.NewRequest(http.MethodGet, ws(s)+"/?"+q.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		cred, err := keys().Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u, _, err := v4.NewSigner().PresignHTTP(t.Context(), cred, r, emptyHash, "kinesisvideo", region, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c, resp, err := websocket.DefaultDialer.DialContext(t.Context(), u, nil)
		if err != nil {
			t.Errorf("%v: %v", names, refusal(resp, err))
			continue
		}
		defer c.Close()
		(&conn{t: t, Conn: c}).send(message("SDP_OFFER", "", offerPayload, ""))
		master.wants(id, "SDP_OFFER", offerPayload)
	}
}

// TestOpenOutlivesURL: the signature of a URL only matters when it connects.
func TestOpenOutlivesURL(t *testing.T) {
	var ahead atomic.Int64
	s := start(t, localkvs.Options{Limits: generous(),
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	arn := create(t, s, "cam")
	master, viewer := dial(t, s, arn, ""), dial(t, s, arn, "v")
	ahead.Store(int64(30 * time.Minute))
	s.SetFaults(localkvs.Faults{ExpireTokens: true})
	viewer.send(message("SDP_OFFER", "", offerPayload, ""))
	master.wants("v", "SDP_OFFER", offerPayload)
}

// TestSeatIsFreed: a viewer that leaves makes room for another.
func TestSeatIsFreed(t *testing.T) {
	l := generous()
	l.Viewers = 1
	s := start(t, localkvs.Options{Limits: l})
	arn := create(t, s, "cam")
	dial(t, s, arn, "a").Close()
	deadline := time.Now().Add(patience)
	for {
		_, err := tryDial(t, s, arn, "b")
		if err == nil {
			return
		}
		if !strings.HasPrefix(err.Error(), "400 ClientLimitExceededException") || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestTTLOfLaterMessages: a new message TTL applies to later messages.
func TestTTLOfLaterMessages(t *testing.T) {
	var ahead atomic.Int64
	begin := time.Now()
	s := start(t, localkvs.Options{Limits: generous(),
		Now: func() time.Time { return begin.Add(time.Duration(ahead.Load())) }})
	arn := create(t, s, "cam")
	viewer := dial(t, s, arn, "v")
	viewer.send(message("ICE_CANDIDATE", "", "YQ==", "")) // for 60 seconds
	viewer.refused(message("NONE", "", "e30=", "sync"))
	_, text := post(t, s, "/describeSignalingChannel", `{"ChannelARN":"`+arn+`"}`, begin)
	_, version, _ := strings.Cut(text, `"Version":"`)
	version, _, _ = strings.Cut(version, `"`)
	post(t, s, "/updateSignalingChannel",
		`{"ChannelARN":"`+arn+`","CurrentVersion":"`+version+`","SingleMasterConfiguration":{"MessageTtlSeconds":5}}`, begin)
	viewer.send(message("ICE_CANDIDATE", "", "Yg==", "")) // for 5
	viewer.refused(message("NONE", "", "e30=", "sync"))
	ahead.Store(int64(6 * time.Second))
	viewer.send(message("ICE_CANDIDATE", "", "Yw==", ""))
	viewer.refused(message("NONE", "", "e30=", "sync"))
	master := dial(t, s, arn, "")
	master.wants("v", "ICE_CANDIDATE", "YQ==")
	master.wants("v", "ICE_CANDIDATE", "Yw==")
}

// TestNoCompression: no client gets compressed frames, not even one that offers compression.
func TestNoCompression(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	d := websocket.Dialer{EnableCompression: true}
	c, resp, err := d.DialContext(t.Context(), signed(t, ws(s), create(t, s, "cam"), "v", time.Now()), nil)
	if err != nil {
		t.Fatal(refusal(resp, err))
	}
	defer c.Close()
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("agreed to %s, want nothing", got)
	}
}

// TestStreamOfOneChannel: a stream stores one channel, until that channel releases it.
func TestStreamOfOneChannel(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	first, second := create(t, s, "a"), create(t, s, "b")
	set := func(arn, status string, want int) {
		t.Helper()
		resp, text := post(t, s, "/updateMediaStorageConfiguration",
			`{"ChannelARN":"`+arn+`","MediaStorageConfiguration":{"Status":"`+status+`","StreamARN":"`+stream+`"}}`, time.Now())
		if resp.StatusCode != want || want != http.StatusOK &&
			!strings.HasPrefix(resp.Header.Get("x-amzn-ErrorType"), "ResourceInUseException") {
			t.Errorf("%s %s: %s %s, want %d", arn, status, resp.Status, text, want)
		}
	}
	set(first, "ENABLED", http.StatusOK)
	set(first, "ENABLED", http.StatusOK)
	set(second, "ENABLED", http.StatusBadRequest)
	set(first, "DISABLED", http.StatusOK)
	set(second, "ENABLED", http.StatusOK)
}

// TestAccountRate: calls also have a rate over all channels.
func TestAccountRate(t *testing.T) {
	s := start(t, localkvs.Options{Limits: localkvs.Limits{ChannelCalls: -1}})
	for range 500 {
		resp, _ := post(t, s, "/updateMediaStorageConfiguration", `{}`, time.Now()) // 10 a second, however wrong
		if strings.HasPrefix(resp.Header.Get("x-amzn-ErrorType"), "ClientLimitExceededException") {
			return
		}
	}
	t.Error("five hundred calls at once were all let through")
}

// TestStatusForC: the C SDK's parser needs the correlation id first, no empty value, and digits in the code.
func TestStatusForC(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	viewer := dial(t, s, create(t, s, "cam"), "v")
	viewer.send(message("PING", "", "e30=", "id-1"))
	const want = `{"messageType":"STATUS_RESPONSE","statusResponse":{"correlationId":"id-1","success":false,"errorType":"InvalidArgumentException","statusCode":"400","description":"`
	if got := viewer.text(); !strings.HasPrefix(got, want) || strings.HasPrefix(got, want+`"`) {
		t.Errorf("got %s, want %s and a description", got, want)
	}
}

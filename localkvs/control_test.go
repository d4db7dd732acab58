package localkvs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/aws/smithy-go"

	"github.com/kvsagent/kvsagent/localkvs"
)

// TestControlPlane does the ordinary work of a channel's life with the official client.
func TestControlPlane(t *testing.T) {
	s := start(t, withTLS(t, localkvs.Options{}))
	for scheme, base := range map[string]string{"http": s.URL(), "https": s.TLSURL()} {
		t.Run(scheme, func(t *testing.T) { life(t, client(t, base, httpClient(t, s)), base) })
	}
}

func life(t *testing.T, c *kinesisvideo.Client, base string) {
	ctx := t.Context()
	name := "cam-" + base[:5]
	name = strings.TrimRight(name, ":")
	began := time.Now()
	made, err := c.CreateSignalingChannel(ctx, &kinesisvideo.CreateSignalingChannelInput{
		ChannelName: &name,
		Tags:        []types.Tag{{Key: aws.String("site"), Value: aws.String("north gate")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.ChannelARN
	if !strings.HasPrefix(*arn, "arn:aws:kinesisvideo:us-west-2:000000000000:channel/"+name+"/") {
		t.Errorf("arn %s", *arn)
	}

	out, err := c.DescribeSignalingChannel(ctx, &kinesisvideo.DescribeSignalingChannelInput{ChannelName: &name})
	if err != nil {
		t.Fatal(err)
	}
	info := out.ChannelInfo
	if *info.ChannelARN != *arn || info.ChannelStatus != types.StatusActive ||
		info.ChannelType != types.ChannelTypeSingleMaster ||
		*info.SingleMasterConfiguration.MessageTtlSeconds != 60 {
		t.Errorf("described as %+v", *info)
	}
	if d := info.CreationTime.Sub(began).Abs(); d > time.Minute {
		t.Errorf("created %v away from now", d)
	}

	_, err = c.UpdateSignalingChannel(ctx, &kinesisvideo.UpdateSignalingChannelInput{
		ChannelARN: arn, CurrentVersion: aws.String("0"),
		SingleMasterConfiguration: &types.SingleMasterConfiguration{MessageTtlSeconds: aws.Int32(30)},
	})
	if _, ok := errors.AsType[*types.VersionMismatchException](err); !ok {
		t.Errorf("update of another version: %v", err)
	}
	if _, err = c.UpdateSignalingChannel(ctx, &kinesisvideo.UpdateSignalingChannelInput{
		ChannelARN: arn, CurrentVersion: info.Version,
		SingleMasterConfiguration: &types.SingleMasterConfiguration{MessageTtlSeconds: aws.Int32(30)},
	}); err != nil {
		t.Fatal(err)
	}
	out, err = c.DescribeSignalingChannel(ctx, &kinesisvideo.DescribeSignalingChannelInput{ChannelARN: arn})
	if err != nil {
		t.Fatal(err)
	}
	if ttl := *out.ChannelInfo.SingleMasterConfiguration.MessageTtlSeconds; ttl != 30 ||
		*out.ChannelInfo.Version == *info.Version {
		t.Errorf("after the update: ttl %d, version %s", ttl, *out.ChannelInfo.Version)
	}

	tags(t, c, arn)
	endpoints(t, c, arn, base)

	if _, err := c.DeleteSignalingChannel(ctx, &kinesisvideo.DeleteSignalingChannelInput{ChannelARN: arn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeSignalingChannel(ctx, &kinesisvideo.DescribeSignalingChannelInput{ChannelARN: arn})
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
		t.Errorf("describe after delete: %v", err)
	}
}

func tags(t *testing.T, c *kinesisvideo.Client, arn *string) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.TagResource(ctx, &kinesisvideo.TagResourceInput{
		ResourceARN: arn, Tags: []types.Tag{{Key: aws.String("lens"), Value: aws.String("")}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UntagResource(ctx, &kinesisvideo.UntagResourceInput{ResourceARN: arn,
		TagKeyList: []string{"site"}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.ListTagsForResource(ctx, &kinesisvideo.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := got.Tags["lens"]; len(got.Tags) != 1 || !ok || v != "" {
		t.Errorf("tags %v, want only lens, empty", got.Tags)
	}
}

func endpoints(t *testing.T, c *kinesisvideo.Client, arn *string, base string) {
	t.Helper()
	ctx := t.Context()
	ask := func(p ...types.ChannelProtocol) (map[types.ChannelProtocol]string, error) {
		out, err := c.GetSignalingChannelEndpoint(ctx, &kinesisvideo.GetSignalingChannelEndpointInput{
			ChannelARN: arn, SingleMasterChannelEndpointConfiguration: &types.SingleMasterChannelEndpointConfiguration{
				Protocols: p, Role: types.ChannelRoleMaster,
			},
		})
		got := map[types.ChannelProtocol]string{}
		if err == nil {
			for _, e := range out.ResourceEndpointList {
				got[e.Protocol] = *e.ResourceEndpoint
			}
		}
		return got, err
	}
	got, err := ask(types.ChannelProtocolWss, types.ChannelProtocolHttps)
	if err != nil {
		t.Fatal(err)
	}
	if got["HTTPS"] != base || got["WSS"] != "ws"+strings.TrimPrefix(base, "http") {
		t.Errorf("endpoints %v, want those of %s", got, base)
	}
	if _, err = ask(types.ChannelProtocolWebrtc); code(err) != "InvalidArgumentException" {
		t.Errorf("WEBRTC without storage: %v", err)
	}

	stream := aws.String("arn:aws:kinesisvideo:us-west-2:000000000000:stream/rec/1700000000000")
	if _, err := c.UpdateMediaStorageConfiguration(ctx, &kinesisvideo.UpdateMediaStorageConfigurationInput{
		ChannelARN: arn, MediaStorageConfiguration: &types.MediaStorageConfiguration{Status: "ENABLED",
			StreamARN: stream},
	}); err != nil {
		t.Fatal(err)
	}
	conf, err := c.DescribeMediaStorageConfiguration(ctx,
		&kinesisvideo.DescribeMediaStorageConfigurationInput{ChannelARN: arn})
	if err != nil {
		t.Fatal(err)
	}
	if m := conf.MediaStorageConfiguration; m.Status != "ENABLED" || *m.StreamARN != *stream {
		t.Errorf("storage %+v", *m)
	}
	if got, err = ask(types.ChannelProtocolWebrtc); err != nil || got["WEBRTC"] != base {
		t.Errorf("WEBRTC with storage: %v, %v", got, err)
	}
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestList(t *testing.T) {
	s := start(t, localkvs.Options{Limits: localkvs.Limits{AccountCalls: -1}})
	c := client(t, s.URL(), httpClient(t, s))
	for _, n := range []string{"b2", "a1", "b1", "b3", "c"} {
		create(t, s, n)
	}
	var got []string
	in := &kinesisvideo.ListSignalingChannelsInput{
		MaxResults: aws.Int32(2),
		ChannelNameCondition: &types.ChannelNameCondition{ComparisonOperator: types.ComparisonOperatorBeginsWith,
			ComparisonValue: aws.String("b")},
	}
	pages := 0
	for p := kinesisvideo.NewListSignalingChannelsPaginator(c, in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range page.ChannelInfoList {
			got = append(got, *ch.ChannelName)
		}
	}
	if want := []string{"b1", "b2", "b3"}; !slices.Equal(got, want) || pages != 2 {
		t.Errorf("got %v in %d pages, want %v in 2", got, pages, want)
	}
	other := kinesisvideo.New(kinesisvideo.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(s.URL()), Credentials: keys(), HTTPClient: httpClient(t, s),
	})
	if out, err := other.ListSignalingChannels(t.Context(), &kinesisvideo.ListSignalingChannelsInput{}); err != nil ||
		len(out.ChannelInfoList) != 0 {
		t.Errorf("another region lists %v, %v", out, err)
	}
}

// post makes a signed call with an unchanged body, and returns the answer.
func post(t *testing.T, s *localkvs.Server, path, body string, at time.Time) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	cred, _ := keys().Retrieve(t.Context())
	if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, sha(body), "kinesisvideo", region, at); err != nil {
		t.Fatal(err)
	}
	resp, err := httpClient(t, s).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestValidation(t *testing.T) {
	s := start(t, localkvs.Options{Limits: localkvs.Limits{AccountCalls: -1, ChannelCalls: -1, Channels: 2}})
	arn := create(t, s, "cam")
	create(t, s, "other")
	long := strings.Repeat("n", 257)
	none := "arn:aws:kinesisvideo:us-west-2:000000000000:channel/none/1700000000000"
	many := strings.TrimSuffix(strings.Repeat(`{"Key":"k","Value":"v"},`, 51), ",")
	for _, tt := range []struct{ path, body, want string }{
		{"/createSignalingChannel", `{}`, "400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"` + long + `"}`, "400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"a b"}`, "400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"x","ChannelType":"MESH"}`, "400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"x","SingleMasterConfiguration":{"MessageTtlSeconds":4}}`,
			"400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"x","SingleMasterConfiguration":{"MessageTtlSeconds":121}}`,
			"400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"x","Tags":[{"Key":"k"}]}`, "400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"x","Tags":[{"Key":"k*","Value":"v"}]}`,
			"400 InvalidArgumentException"},
		{"/createSignalingChannel", `{"ChannelName":"x","Tags":[` + many + `]}`,
			"400 TagsPerResourceExceededLimitException"},
		{"/createSignalingChannel", `{"ChannelName":"cam"}`, "400 ResourceInUseException"},
		{"/createSignalingChannel", `{"ChannelName":"third"}`, "400 AccountChannelLimitExceededException"},
		{"/createSignalingChannel", `{"ChannelName":`, "400 SerializationException"},
		{"/createSignalingChannel", `{"ChannelName":7}`, "400 SerializationException"},
		{"/describeSignalingChannel", `{}`, "400 InvalidArgumentException"},
		{"/describeSignalingChannel", `{"ChannelName":"none"}`, "404 ResourceNotFoundException"},
		{"/describeSignalingChannel", `{"ChannelARN":"` + none + `"}`, "404 ResourceNotFoundException"},
		{"/describeSignalingChannel", `{"ChannelARN":"arn:aws:s3:::x"}`, "400 InvalidArgumentException"},
		{"/updateSignalingChannel", `{"ChannelARN":"` + arn + `"}`, "400 InvalidArgumentException"},
		{"/deleteSignalingChannel", `{"ChannelARN":"` + arn + `","CurrentVersion":"0"}`,
			"400 VersionMismatchException"},
		{"/listSignalingChannels", `{"MaxResults":0}`, "400 InvalidArgumentException"},
		{"/listSignalingChannels", `{"MaxResults":10001}`, "400 InvalidArgumentException"},
		{"/listSignalingChannels", `{"NextToken":"!"}`, "400 InvalidArgumentException"},
		{"/listSignalingChannels", `{"ChannelNameCondition":{"ComparisonOperator":"ENDS_WITH","ComparisonValue":"a"}}`,
			"400 InvalidArgumentException"},
		{"/getSignalingChannelEndpoint", `{"ChannelARN":"` + arn +
			`","SingleMasterChannelEndpointConfiguration":{"Role":"OWNER"}}`, "400 InvalidArgumentException"},
		{"/getSignalingChannelEndpoint", `{"ChannelARN":"` + arn +
			`","SingleMasterChannelEndpointConfiguration":{"Protocols":["MQTT"]}}`, "400 InvalidArgumentException"},
		{"/updateMediaStorageConfiguration", `{"ChannelARN":"` + arn +
			`","MediaStorageConfiguration":{"Status":"ENABLED"}}`, "400 InvalidArgumentException"},
		{"/TagResource", `{"ResourceARN":"` + arn + `"}`, "400 InvalidArgumentException"},
		{"/UntagResource", `{"ResourceARN":"` + arn + `","TagKeyList":[]}`, "400 InvalidArgumentException"},
		{"/v1/get-ice-server-config", `{"ChannelARN":"` + arn + `","Service":"STUN"}`, "400 InvalidArgumentException"},
		{"/v1/get-ice-server-config", `{"ChannelARN":"` + none + `"}`, "404 ResourceNotFoundException"},
		{"/listStreams", `{}`, "404 UnknownOperationException"},
		{"/describeSignalingChannel", strings.Repeat(" ", 200<<10), "413 RequestEntityTooLargeException"},
	} {
		resp, text := post(t, s, tt.path, tt.body, time.Now())
		kind, suffix, _ := strings.Cut(resp.Header.Get("x-amzn-ErrorType"), ":")
		if got := fmt.Sprintf("%d %s", resp.StatusCode, kind); got != tt.want {
			t.Errorf("%s %.80s: got %s %s, want %s", tt.path, tt.body, got, text, tt.want)
		}
		if suffix == "" || !strings.Contains(strings.ToLower(text), `"message":"`) ||
			resp.Header.Get("x-amzn-RequestId") == "" ||
			resp.ContentLength != int64(len(text)) {
			t.Errorf("%s: headers %v, body %s", tt.path, resp.Header, text)
		}
	}
}

func TestCallClocks(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := start(t, localkvs.Options{Now: func() time.Time { return now }})
	for _, tt := range []struct {
		at   time.Time
		want string
	}{
		{now.Add(-5 * time.Minute), `"ChannelInfoList":[]`},
		{now.Add(5 * time.Minute), `"ChannelInfoList":[]`},
		{now.Add(-301 * time.Second),
			"Signature expired: 20260301T115459Z is now earlier than 20260301T115500Z (20260301T120000Z - 5 min.)"},
		{now.Add(301 * time.Second),
			"Signature not yet current: 20260301T120501Z is still later than 20260301T120500Z (20260301T120000Z + 5 " +
				"min.)"},
	} {
		resp, text := post(t, s, "/listSignalingChannels", "{}", tt.at)
		if !strings.Contains(text, tt.want) {
			t.Errorf("signed at %v: %s, want %s", tt.at, text, tt.want)
		}
		if d := resp.Header.Get("Date"); d != now.Format(http.TimeFormat) {
			t.Errorf("date %s, want the service's clock", d)
		}
	}
}

func TestChannelRate(t *testing.T) {
	s := start(t, localkvs.Options{})
	arn := create(t, s, "cam")
	got := map[string]int{}
	for range 10 {
		resp, _ := post(t, s, "/describeSignalingChannel", `{"ChannelARN":"`+arn+`"}`, time.Now())
		got[resp.Status+" "+strings.Split(resp.Header.Get("x-amzn-ErrorType"), ":")[0]]++
	}
	if got["200 OK "] < 5 || got["400 Bad Request ClientLimitExceededException"] == 0 {
		t.Errorf("ten calls at once: %v, want five or so to pass", got)
	}
}

func TestPreflight(t *testing.T) {
	s := start(t, localkvs.Options{})
	r, _ := http.NewRequestWithContext(t.Context(), "OPTIONS", s.URL()+"/describeSignalingChannel", nil)
	r.Header.Set("Origin", "https://page.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,x-amz-date,x-amz-user-agent")
	resp, err := httpClient(t, s).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	h := resp.Header
	if resp.StatusCode/100 != 2 || h.Get("Access-Control-Allow-Origin") != "*" ||
		h.Get("Access-Control-Allow-Headers") != "authorization,x-amz-date,x-amz-user-agent" ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: %d %v", resp.StatusCode, h)
	}
}

func TestRestart(t *testing.T) {
	file := t.TempDir() + "/channels.json"
	var arn string
	t.Run("before", func(t *testing.T) { arn = create(t, start(t, localkvs.Options{StateFile: file}), "cam") })
	s := start(t, localkvs.Options{StateFile: file})
	name := "cam"
	out, err := client(t, s.URL(), httpClient(t, s)).DescribeSignalingChannel(t.Context(),
		&kinesisvideo.DescribeSignalingChannelInput{ChannelName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if *out.ChannelInfo.ChannelARN != arn {
		t.Errorf("after a restart: %s, want %s", *out.ChannelInfo.ChannelARN, arn)
	}
}

// TestStates: when changes take time, channels show what they are doing and refuse another change meanwhile, and a
// deleted channel exists until its time is over.
func TestStates(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()) }
	l := generous()
	l.ActiveAfter = 5 * time.Second
	s := start(t, localkvs.Options{Limits: l, Now: clock})
	arn := create(t, s, "cam")
	call := func(path, more, want string) {
		t.Helper()
		resp, text := post(t, s, path, `{"ChannelARN":"`+arn+`"`+more+`}`, clock())
		if got := resp.Header.Get("x-amzn-ErrorType") + text; !strings.Contains(got, want) {
			t.Errorf("%s: %s %s, want %s", path, resp.Status, got, want)
		}
	}
	version := func() string {
		t.Helper()
		var out struct{ ChannelInfo struct{ Version string } }
		_, text := post(t, s, "/describeSignalingChannel", `{"ChannelARN":"`+arn+`"}`, clock())
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		return `,"CurrentVersion":"` + out.ChannelInfo.Version + `"`
	}
	later := func() { now.Add(int64(5 * time.Second)) }

	call("/describeSignalingChannel", "", "CREATING")
	call("/updateSignalingChannel", version(), "ResourceInUseException")
	later()
	call("/describeSignalingChannel", "", "ACTIVE")
	call("/updateSignalingChannel", version(), "{}")
	call("/describeSignalingChannel", "", "UPDATING")
	later()
	call("/describeSignalingChannel", "", "ACTIVE")
	call("/deleteSignalingChannel", "", "{}")
	call("/describeSignalingChannel", "", "DELETING")
	call("/deleteSignalingChannel", "", "ResourceInUseException")
	if resp, text := post(t, s, "/createSignalingChannel", `{"ChannelName":"cam"}`,
		clock()); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("create during deletion: %s %s, want 400", resp.Status, text)
	}
	later()
	call("/describeSignalingChannel", "", "ResourceNotFoundException")
}

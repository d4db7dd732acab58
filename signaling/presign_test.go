package signaling

import (
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// The first four are the JavaScript SDK's own vectors (amazon-kinesis-video-streams-webrtc-sdk-js,
// SigV4RequestSigner.spec.ts). The last was computed by Go's signer and by an independent implementation in Python.
func TestPresign(t *testing.T) {
	js := url.Values{"X-Amz-TestParam": {"test-param-value"}}
	viewer := url.Values{
		"X-Amz-ChannelARN": {"arn:aws:kinesisvideo:us-west-2:123456789012:channel/foo/1577836800000"},
		"X-Amz-ClientId":   {"Viewer_1.a-b"},
	}
	for _, tt := range []struct {
		name, endpoint, service, token, want string
		params                               url.Values
	}{
		{"token", "wss://kvs.awsamazon.com", "kinesisvideo", "FakeSessionToken",
			"fc268038be276315822b4f73eafd28ee3a5632a2a35fdb0a88db9a42b13d6c92", js},
		{"no token", "wss://kvs.awsamazon.com", "kinesisvideo", "",
			"be1e78950d956a8a9a1997417099ddbd7455619f3d08c4ad20e1e272179ca695", js},
		{"another service", "wss://kvs.awsamazon.com", "firehose", "FakeSessionToken",
			"f15308513d21a381d38b7607a0439f25fc2e6c9f5ff56a48c1664b486e6234d5", js},
		{"path", "wss://kvs.awsamazon.com/path/path/path", "kinesisvideo", "FakeSessionToken",
			"0bf3df6ca23d8d82f688e8dbfb90d69e74843d40038541b1721c545eef7612a4", js},
		{"viewer, port, encoded token", "wss://localhost:8443/", "kinesisvideo", "Fake/Session+Token==",
			"bc097095b6c76536ea77b2d1877729bbaa95b6e8ae1e0e0744e9cfadc416c547", viewer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := aws.Credentials{AccessKeyID: "AKIA4F7WJQR7FMMWMNXI", SecretAccessKey: "FakeSecretKey",
				SessionToken: tt.token}
			got, err := presign(t.Context(), keys, tt.endpoint, tt.params, tt.service, "us-west-2",
				time.Date(2019, 12, 1, 0, 0, 0, 0, time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			if sig := u.Query().Get("X-Amz-Signature"); sig != tt.want {
				t.Errorf("signature = %s, want %s", sig, tt.want)
			}
			if u.Path == "" || u.Query().Get("X-Amz-Expires") != "299" ||
				u.Query().Get("X-Amz-Security-Token") != tt.token {
				t.Errorf("url = %s", got)
			}
		})
	}
}

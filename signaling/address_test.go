package signaling

import (
	"strings"
	"testing"
)

// Requests to an address from the service are signed with our keys.
func TestCheckAddress(t *testing.T) {
	for _, tt := range []struct {
		endpoint, region, addr, want string // want "": accepted
	}{
		{"", "us-west-2", "wss://m-0a1b2c3d.kinesisvideo.us-west-2.amazonaws.com", ""},
		{"", "us-west-2", "https://r-0a1b2c3d.kinesisvideo.us-west-2.api.aws", ""},
		{"", "cn-north-1", "wss://m-0a1b2c3d.kinesisvideo.cn-north-1.amazonaws.com.cn", ""},
		{"", "us-gov-west-1", "wss://m-1.kinesisvideo-fips.us-gov-west-1.amazonaws.com:443", ""},
		{"", "us-west-2", "", "not an address"},
		{"", "us-west-2", "not a url\x00", "not an address"},
		{"", "us-west-2", "ws://m-1.kinesisvideo.us-west-2.amazonaws.com", "not encrypted"},
		{"", "us-west-2", "http://m-1.kinesisvideo.us-west-2.amazonaws.com", "not encrypted"},
		{"", "us-west-2", "wss://evil.test", "not a KVS host"},
		{"", "us-west-2", "wss://evilamazonaws.com", "not a KVS host"},
		{"", "us-west-2", "wss://x.amazonaws.com.evil.test", "not a KVS host"},
		{"", "us-west-2", "wss://evil.test/.amazonaws.com", "not a KVS host"},
		{"", "us-west-2", "wss://x.amazonaws.com@evil.test", "not a KVS host"},
		{"", "us-west-2", "wss://ec2-192-0-2-1.us-west-2.compute.amazonaws.com", "not a KVS host"},
		{"", "eu-west-1", "wss://m-1.kinesisvideo.us-west-2.amazonaws.com", "not a KVS host"},
		{"http://127.0.0.1:9790", "us-west-2", "ws://127.0.0.1:9790", ""},
		{"https://kvs.test", "us-west-2", "wss://m-1.kvs.test", ""},
		{"https://kvs.test", "us-west-2", "", "not an address"},
	} {
		err := (&Options{Endpoint: tt.endpoint, Region: tt.region}).checkAddress(tt.addr)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("checkAddress(%q), endpoint %q: %v, want %q", tt.addr, tt.endpoint, err, tt.want)
		}
	}
}

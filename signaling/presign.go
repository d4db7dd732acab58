package signaling

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	service   = "kinesisvideo" // the signing name of all three KVS APIs
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	urlLife   = "299" // seconds; the service accepts up to 300, the JS SDK uses this
)

// presign returns the URL that opens a WebSocket (KVS dev guide, ConnectAsMaster and ConnectAsViewer): Signature
// Version 4 in the query, with only the host header signed and the session token among the signed parameters. For five
// minutes the URL gives access to the channel, so it must not appear in a log or an error. The dialler must send the
// host as it stands in the URL, with its port.
func presign(ctx context.Context, keys aws.Credentials, endpoint string, params url.Values, service, region string,
	at time.Time) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("the service's WebSocket address: %w", err)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	params.Set("X-Amz-Expires", urlLife) // the signer does not add it
	u.RawQuery = params.Encode()
	// A bare request: the signer would sign every header that it finds.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", fmt.Errorf("the service's WebSocket address: %w", err)
	}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, keys, req, emptyHash, service, region, at)
	if err != nil {
		return "", fmt.Errorf("sign the WebSocket's address: %w", err)
	}
	return signed, nil
}

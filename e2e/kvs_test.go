package e2e

import (
	"crypto/x509"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// region is where all channels of the tests are, and the demo's.
const region = "us-west-2"

// keys are the access key that localkvs accepts, as AWS tools read it.
var keys = []string{"AWS_ACCESS_KEY_ID=localkvs", "AWS_SECRET_ACCESS_KEY=localkvs", "AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region}

// kvs is a signaling service in a process of its own.
type kvs struct {
	URL    string // control plane over HTTP
	TLSURL string // and over HTTPS
	CA     string // file that a client of TLSURL must trust
	*process
}

func startKVS(t *testing.T) *kvs {
	t.Helper()
	dir := t.TempDir()
	p := start(t, environment(), binary, "localkvs", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-dir", dir)
	return &kvs{
		URL:     p.find(t, &p.stdout, 10*time.Second, `http://127\.0\.0\.1:\d+`)[0],
		TLSURL:  p.find(t, &p.stdout, 10*time.Second, `https://127\.0\.0\.1:\d+`)[0],
		CA:      dir + "/ca.pem",
		process: p,
	}
}

// control is AWS's own client of the control plane at url. ca is the CA to trust with https.
func control(t *testing.T, url, ca string) *kinesisvideo.Client {
	t.Helper()
	client := awshttp.NewBuildableClient()
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		client = client.WithTransportOptions(func(tr *http.Transport) { tr.TLSClientConfig.RootCAs = pool })
	}
	return kinesisvideo.New(kinesisvideo.Options{
		BaseEndpoint: aws.String(url),
		HTTPClient:   client,
		Region:       region,
		Credentials:  credentials.NewStaticCredentialsProvider("localkvs", "localkvs", ""),
	})
}

// create makes a channel and returns its ARN.
func create(t *testing.T, url, name string) string {
	t.Helper()
	out, err := control(t, url, "").CreateSignalingChannel(t.Context(), &kinesisvideo.CreateSignalingChannelInput{ChannelName: &name})
	if err != nil {
		t.Fatalf("create channel %q: %v", name, err)
	}
	return *out.ChannelARN
}

// find returns the ARN of a channel that somebody else has made or is about to make.
func find(t *testing.T, url, name string) string {
	t.Helper()
	var arn string
	eventually(t, 10*time.Second, "channel "+name+" exists", func() (bool, any) {
		out, err := control(t, url, "").DescribeSignalingChannel(t.Context(), &kinesisvideo.DescribeSignalingChannelInput{ChannelName: &name})
		if err != nil {
			return false, err
		}
		arn = *out.ChannelInfo.ChannelARN
		return true, nil
	})
	return arn
}

// endpoint returns where a client of the role opens its WebSocket.
func endpoint(t *testing.T, url, ca, arn string, role types.ChannelRole) string {
	t.Helper()
	out, err := control(t, url, ca).GetSignalingChannelEndpoint(t.Context(), &kinesisvideo.GetSignalingChannelEndpointInput{
		ChannelARN: &arn,
		SingleMasterChannelEndpointConfiguration: &types.SingleMasterChannelEndpointConfiguration{
			Protocols: []types.ChannelProtocol{types.ChannelProtocolWss, types.ChannelProtocolHttps}, Role: role,
		},
	})
	if err != nil {
		t.Fatalf("endpoint of %s: %v", arn, err)
	}
	for _, e := range out.ResourceEndpointList {
		if e.Protocol == types.ChannelProtocolWss {
			return *e.ResourceEndpoint
		}
	}
	t.Fatalf("endpoint of %s: no WSS in %+v", arn, out.ResourceEndpointList)
	return ""
}

package rig

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

// Control is AWS's own client of the control plane at url. ca is the CA to trust with https.
func Control(t testing.TB, url, ca string) *kinesisvideo.Client {
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
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider("localkvs", "localkvs", ""),
	})
}

// CreateChannel makes a channel and returns its ARN.
func CreateChannel(t testing.TB, url, name string) string {
	t.Helper()
	out, err := Control(t, url, "").CreateSignalingChannel(t.Context(),
		&kinesisvideo.CreateSignalingChannelInput{ChannelName: &name})
	if err != nil {
		t.Fatalf("create channel %q: %v", name, err)
	}
	return *out.ChannelARN
}

// FindChannel returns the ARN of a channel that somebody else has made or is about to make.
func FindChannel(t testing.TB, url, name string) string {
	t.Helper()
	var arn string
	Eventually(t, 10*time.Second, "channel "+name+" exists", func() (bool, any) {
		out, err := Control(t, url, "").DescribeSignalingChannel(t.Context(),
			&kinesisvideo.DescribeSignalingChannelInput{ChannelName: &name})
		if err != nil {
			return false, err
		}
		arn = *out.ChannelInfo.ChannelARN
		return true, nil
	})
	return arn
}

// Endpoint returns where a client of the role opens its WebSocket.
func Endpoint(t testing.TB, url, ca, arn string, role types.ChannelRole) string {
	t.Helper()
	out, err := Control(t, url, ca).GetSignalingChannelEndpoint(t.Context(),
		&kinesisvideo.GetSignalingChannelEndpointInput{
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

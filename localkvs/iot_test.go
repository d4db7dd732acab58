package localkvs_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestDeviceCredentials(t *testing.T) {
	o := withTLS(t, localkvs.Options{Limits: generous()})
	certFile, keyFile, err := localkvs.DeviceCertificate(o.TLSDir, "cam1") // makes the CA that the service then uses
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{keyFile, filepath.Join(o.TLSDir, "ca.key")} {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", f, st, err)
		}
	}
	s := start(t, o)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	conf := trust(t, s)
	conf.Certificates = []tls.Certificate{pair}
	tr := &http.Transport{TLSClientConfig: conf}
	t.Cleanup(tr.CloseIdleConnections)
	with := &http.Client{Transport: tr}

	ask := func(c *http.Client, thing string) (int, string) {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", s.TLSURL()+"/role-aliases/CamRoleAlias/credentials", nil)
		r.Header.Set("x-amzn-iot-thingname", thing)
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if status, text := ask(httpClient(t, s), "cam1"); status != 403 {
		t.Errorf("without a certificate: %d %s", status, text)
	}
	if status, text := ask(with, "cam2"); status != 403 {
		t.Errorf("as another thing: %d %s", status, text)
	}
	status, text := ask(with, "cam1")
	var out struct {
		Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken, Expiration string }
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	c := out.Credentials
	at, err := time.Parse(time.RFC3339, c.Expiration)
	if err != nil || time.Until(at).Round(time.Minute) != time.Hour {
		t.Errorf("expires %s, want in an hour", c.Expiration)
	}

	kv := kinesisvideo.New(kinesisvideo.Options{
		Region: region, BaseEndpoint: aws.String(s.TLSURL()), HTTPClient: with, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	})
	list := func() error {
		_, err := kv.ListSignalingChannels(t.Context(), &kinesisvideo.ListSignalingChannelsInput{})
		return err
	}
	if err := list(); err != nil {
		t.Errorf("with the device's keys: %v", err)
	}
	s.SetFaults(localkvs.Faults{ExpireTokens: true})
	if err := list(); code(err) != "ExpiredTokenException" {
		t.Errorf("with expired keys: %v", err)
	}
}

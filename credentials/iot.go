package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// IoT is a device that authenticates with an X.509 certificate and gets the keys of a role in exchange (AWS IoT Core
// developer guide, "Authorizing direct calls to AWS services").
//
//	GET https://ENDPOINT/role-aliases/ALIAS/credentials    with the certificate, and x-amzn-iot-thingname: THING
//	{"credentials":{"accessKeyId":"...","secretAccessKey":"...","sessionToken":"...",
//	    "expiration":"2026-01-01T01:00:00Z"}}
type IoT struct {
	// Host of the credentials provider: aws iot describe-endpoint --endpoint-type iot:CredentialProvider.
	Endpoint        string
	RoleAlias       string
	ThingName       string // "" when the policies use no ${credentials-iot:ThingName}
	CertificateFile string // PEM; this and the key are read again for each fetch
	PrivateKeyFile  string // PEM
	CAFile          string // PEM, trusted instead of the system's authorities; "" means the system's
}

// iotFromEnv reads the C SDK's variables, or returns nil.
func iotFromEnv(env func(string) string) *IoT {
	const prefix = "AWS_IOT_CORE_"
	if env(prefix+"CREDENTIAL_ENDPOINT") == "" {
		return nil
	}
	return &IoT{
		Endpoint:        env(prefix + "CREDENTIAL_ENDPOINT"),
		RoleAlias:       env(prefix + "ROLE_ALIAS"),
		ThingName:       env(prefix + "THING_NAME"),
		CertificateFile: env(prefix + "CERT"),
		PrivateKeyFile:  env(prefix + "PRIVATE_KEY"),
		CAFile:          env("AWS_KVS_CACERT_PATH"),
	}
}

func (o *IoT) check() error {
	for _, f := range []struct{ name, value string }{
		{"endpoint", o.Endpoint}, {"role alias", o.RoleAlias}, {"certificate", o.CertificateFile},
		{"private key", o.PrivateKeyFile},
	} {
		if f.value == "" {
			return fmt.Errorf("IoT certificate: no %s", f.name)
		}
	}
	if u, err := url.Parse("https://" + o.host()); err != nil || u.Host != o.host() {
		return fmt.Errorf("IoT endpoint %q: not a host name; hint: aws iot describe-endpoint --endpoint-type "+
			"iot:CredentialProvider", o.Endpoint)
	}
	return nil
}

func (o *IoT) host() string {
	return strings.TrimSuffix(strings.TrimPrefix(o.Endpoint, "https://"), "/")
}

// fetch makes one exchange.
func (o *IoT) fetch(ctx context.Context) (aws.Credentials, error) {
	conf, err := o.tls()
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("IoT certificate: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	address := "https://" + o.host() + "/role-aliases/" + url.PathEscape(o.RoleAlias) + "/credentials"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("IoT credentials: %w", err)
	}
	if o.ThingName != "" {
		req.Header.Set("X-Amzn-Iot-Thingname", o.ThingName)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("IoT credentials from %s: %w%s", o.host(), err, dialHint(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return aws.Credentials{}, o.refused(resp.StatusCode, body)
	}
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("IoT credentials from %s: %w", o.host(), err)
	}
	keys, err := parseIoT(body)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("IoT credentials from %s: %w", o.host(), err)
	}
	// The expiry by this host's clock, which may be wrong: what counts is the time since the answer's Date.
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		keys.Expires = time.Now().Add(keys.Expires.Sub(date))
	}
	return keys, nil
}

func (o *IoT) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(find(o.CertificateFile), find(o.PrivateKeyFile))
	if err != nil {
		return nil, fmt.Errorf("%w; hint: PEM files, and the key must belong to the certificate", err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if o.CAFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(find(o.CAFile))
	if err != nil {
		return nil, err
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it; hint: a PEM file such as AmazonRootCA1.pem", o.CAFile)
	}
	return conf, nil
}

func dialHint(err error) string {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return "; hint: trust Amazon's root CA, and check this host's clock"
	}
	return ""
}

func (o *IoT) refused(status int, body []byte) error {
	var in struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &in) != nil || in.Message == "" {
		in.Message = http.StatusText(status)
	}
	hint := ""
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		hint = "; hint: is the certificate active and attached to the thing, and does its policy allow " +
			"iot:AssumeRoleWithCertificate on the role alias?"
	case http.StatusNotFound:
		hint = fmt.Sprintf("; hint: is there a role alias %q in this account and region?", o.RoleAlias)
	}
	return fmt.Errorf("IoT credentials from %s: status %d: %s%s", o.host(), status, oneLine(errors.New(in.Message)),
		hint)
}

// parseIoT parses the answer.
func parseIoT(body []byte) (aws.Credentials, error) {
	var in struct {
		Credentials struct {
			AccessKeyID     string    `json:"accessKeyId"`
			SecretAccessKey string    `json:"secretAccessKey"`
			SessionToken    string    `json:"sessionToken"`
			Expiration      time.Time `json:"expiration"`
		} `json:"credentials"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return aws.Credentials{}, fmt.Errorf("bad answer: %w", err)
	}
	c := in.Credentials
	if c.AccessKeyID == "" || c.SecretAccessKey == "" || c.Expiration.IsZero() {
		return aws.Credentials{}, errors.New("bad answer: keys or their expiration are missing")
	}
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		CanExpire: true, Expires: c.Expiration, Source: "iot"}, nil
}

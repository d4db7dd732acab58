package credentials_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/kvsagent/kvsagent/credentials"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bare removes every AWS setting from the environment, and gives the test its own home.
func bare(t *testing.T) string {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	home := t.TempDir()
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, ".aws", "credentials"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, ".aws", "config"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	return home
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Minute) // not being written now
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	return name
}

func provider(t *testing.T, o credentials.Options) aws.CredentialsProvider {
	t.Helper()
	p, err := credentials.New(t.Context(), o, "eu-central-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func invalidate(p aws.CredentialsProvider) { p.(interface{ Invalidate() }).Invalidate() }

func TestOptions(t *testing.T) {
	bare(t)
	for _, tt := range []struct {
		name string
		o    credentials.Options
		want string
	}{
		{"two kinds", credentials.Options{Profile: "p", AccessKeyID: "A", SecretAccessKey: "s"}, "more than one kind"},
		{"no secret", credentials.Options{AccessKeyID: "A"}, "access key A has no secret"},
		{"no id", credentials.Options{SecretAccessKey: "canary"}, "without an access key id"},
		{"two secrets", credentials.Options{AccessKeyID: "A", SecretAccessKey: "canary", SecretAccessKeyFile: "f"},
			"both in the config and in f"},
		{"IoT without a key",
			credentials.Options{IoT: &credentials.IoT{Endpoint: "e", RoleAlias: "r", CertificateFile: "c"}},
			"no private key"},
		{"IoT endpoint",
			credentials.Options{IoT: &credentials.IoT{Endpoint: "e/x", RoleAlias: "r", CertificateFile: "c",
				PrivateKeyFile: "k"}}, "not a host name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := credentials.New(t.Context(), tt.o, "eu-central-1", nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	bare(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	k, err := provider(t, credentials.Options{}).Retrieve(t.Context())
	if err != nil || k.AccessKeyID != "AKIDENV" {
		t.Errorf("keys %s, %v", k.AccessKeyID, err)
	}
}

func TestNothingFound(t *testing.T) {
	bare(t)
	_, err := provider(t, credentials.Options{}).Retrieve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "hint: set AWS_ACCESS_KEY_ID") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("err = %v", err)
	}
	_, err = provider(t, credentials.Options{Profile: "cameras"}).Retrieve(t.Context())
	if err == nil || !strings.Contains(err.Error(), `no profile "cameras"`) {
		t.Errorf("err = %v", err)
	}
}

// A metadata service that accepts connections and sends nothing, as a camera's firewall may cause.
func TestMetadataDoesNotDelay(t *testing.T) {
	bare(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	os.Unsetenv("AWS_EC2_METADATA_DISABLED")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+l.Addr().String())
	p := provider(t, credentials.Options{})
	start := time.Now()
	_, err = p.Retrieve(t.Context())
	if d := time.Since(start); err == nil || d > 4500*time.Millisecond {
		t.Errorf("%v after %v", err, d)
	}
}

// The shared files are read again: a tool that renews session tokens there needs no restart of the agent.
func TestProfileIsReadAgain(t *testing.T) {
	home := bare(t)
	file := filepath.Join(home, ".aws", "credentials")
	write(t, file, "[cameras]\naws_access_key_id=AKID1\naws_secret_access_key=s\n")
	p := provider(t, credentials.Options{Profile: "cameras"})
	for _, id := range []string{"AKID1", "AKID2"} {
		write(t, file, "[cameras]\naws_access_key_id="+id+"\naws_secret_access_key=s\n")
		invalidate(p)
		if k, err := p.Retrieve(t.Context()); err != nil || k.AccessKeyID != id {
			t.Errorf("keys %s, %v; want %s", k.AccessKeyID, err, id)
		}
	}
	// Half a file does no harm.
	write(t, file, "[came")
	invalidate(p)
	if k, err := p.Retrieve(t.Context()); err != nil || k.AccessKeyID != "AKID2" {
		t.Errorf("keys %s, %v; want the last good ones", k.AccessKeyID, err)
	}
}

func TestSecretFiles(t *testing.T) {
	dir := bare(t)
	secret := write(t, filepath.Join(dir, "secret"), "s1\n")
	token := write(t, filepath.Join(dir, "token"), " t1 \r\n")
	var logged bytes.Buffer
	p := provider(t, credentials.Options{AccessKeyID: "AKID", SecretAccessKeyFile: secret, SessionTokenFile: token,
		Log: slog.New(slog.NewTextHandler(&logged, nil))})
	expect := func(when, s, tok string) {
		t.Helper()
		invalidate(p)
		k, err := p.Retrieve(t.Context())
		if err != nil || k.AccessKeyID != "AKID" || k.SecretAccessKey != s || k.SessionToken != tok {
			t.Errorf("%s: keys %q %q, %v; want %q %q", when, k.SecretAccessKey, k.SessionToken, err, s, tok)
		}
	}
	expect("first", "s1", "t1")
	write(t, secret, "s2")
	write(t, token, "t2")
	expect("rotated", "s2", "t2")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil { // being written now
		t.Fatal(err)
	}
	expect("half-written", "s2", "t2")
	for _, bad := range []string{"", "\n", "key = canary", "canary\x003", strings.Repeat("x", 20<<10)} {
		write(t, secret, bad)
		expect("bad", "s2", "t2")
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	expect("deleted", "s2", "t2")
	if err := os.Symlink(write(t, filepath.Join(dir, "..data", "secret"), "canary3"), secret); err != nil {
		t.Fatal(err)
	}
	expect("swapped for a link", "canary3", "t2")
	if n := strings.Count(logged.String(), "not refreshed"); n != 1 || strings.Contains(logged.String(), "canary") {
		t.Errorf("%d lines for one trouble: %s", n, &logged)
	}
}

func TestSecretFileMissing(t *testing.T) {
	dir := bare(t)
	p := provider(t, credentials.Options{AccessKeyID: "AKID", SecretAccessKeyFile: filepath.Join(dir, "none")})
	if _, err := p.Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "secret access key: open ") {
		t.Errorf("err = %v", err)
	}
}

func TestSystemdCredentialsDirectory(t *testing.T) {
	dir := bare(t)
	write(t, filepath.Join(dir, "aws-secret"), "fromsystemd")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	k, err := provider(t, credentials.Options{AccessKeyID: "A",
		SecretAccessKeyFile: "aws-secret"}).Retrieve(t.Context())
	if err != nil || k.SecretAccessKey != "fromsystemd" {
		t.Errorf("keys %v, %v", k.SecretAccessKey, err)
	}
}

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.cert, a.key = a.sign(t, "test CA", true)
	return a
}

func (a *authority) sign(t *testing.T, name string, ca bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func (a *authority) files(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	c, k := a.sign(t, name, false)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert = write(t, filepath.Join(dir, name+".cert.pem"),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	key = write(t, filepath.Join(dir, name+".key.pem"),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return cert, key
}

// iotService is the credentials provider: mutual TLS, its own clock.
func iotService(t *testing.T, a *authority, ahead time.Duration,
	answer func(w http.ResponseWriter, r *http.Request, now time.Time)) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		answer(w, r, now)
	}))
	c, k := a.sign(t, "127.0.0.1", false)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: k}},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func caFile(t *testing.T, a *authority, dir string) string {
	return write(t, filepath.Join(dir, "ca.pem"),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
}

func TestIoT(t *testing.T) {
	dir := bare(t)
	a := newAuthority(t)
	cert, key := a.files(t, dir, "cam1")
	for _, tt := range []struct {
		name  string
		ahead time.Duration
	}{{"clocks agree", 0}, {"our clock is a day behind", 24 * time.Hour}, {"our clock is a day ahead",
		-24 * time.Hour}} {
		t.Run(tt.name, func(t *testing.T) {
			host := iotService(t, a, tt.ahead, func(w http.ResponseWriter, r *http.Request, now time.Time) {
				if r.URL.Path != "/role-aliases/CamRoleAlias/credentials" ||
					r.Header.Get("x-amzn-iot-thingname") != "cam1" ||
					r.TLS.PeerCertificates[0].Subject.CommonName != "cam1" {
					t.Errorf("request %s %v", r.URL, r.Header)
				}
				fmt.Fprintf(w,
					`{"credentials":{"accessKeyId":"ASIA1","secretAccessKey":"s","sessionToken":"t","expiration":%q}}`, now.Add(time.Hour).UTC().Format(time.RFC3339))
			})
			t.Setenv("AWS_IOT_CORE_CREDENTIAL_ENDPOINT", host)
			t.Setenv("AWS_IOT_CORE_ROLE_ALIAS", "CamRoleAlias")
			t.Setenv("AWS_IOT_CORE_THING_NAME", "cam1")
			t.Setenv("AWS_IOT_CORE_CERT", cert)
			t.Setenv("AWS_IOT_CORE_PRIVATE_KEY", key)
			t.Setenv("AWS_KVS_CACERT_PATH", caFile(t, a, dir))
			k, err := provider(t, credentials.Options{}).Retrieve(t.Context())
			if err != nil || k.AccessKeyID != "ASIA1" || k.SecretAccessKey != "s" || k.SessionToken != "t" {
				t.Fatalf("keys %s, %v", k.AccessKeyID, err)
			}
			if left := time.Until(k.Expires); left < 59*time.Minute || left > time.Hour+time.Second {
				t.Errorf("%v left by this host's clock, want an hour", left)
			}
		})
	}
}

func TestIoTFailures(t *testing.T) {
	dir := bare(t)
	a := newAuthority(t)
	cert, key := a.files(t, dir, "cam1")
	_, otherKey := a.files(t, dir, "cam2")
	ca := caFile(t, a, dir)
	says := func(status int, body string) string {
		return iotService(t, a, 0, func(w http.ResponseWriter, _ *http.Request, _ time.Time) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	for _, tt := range []struct {
		name string
		o    credentials.IoT
		want string
	}{
		{"not allowed", credentials.IoT{Endpoint: says(403, `{"message":"Access Denied"}`)},
			"status 403: Access Denied; hint: is the certificate active"},
		{"no alias", credentials.IoT{Endpoint: says(404, ``)},
			`status 404: Not Found; hint: is there a role alias "CamRoleAlias"`},
		{"no JSON", credentials.IoT{Endpoint: says(200, `hello`)}, "bad answer"},
		{"no keys", credentials.IoT{Endpoint: says(200, `{}`)}, "keys or their expiration are missing"},
		{"no certificate", credentials.IoT{Endpoint: "127.0.0.1:1", CertificateFile: filepath.Join(dir, "none")},
			"no such file"},
		{"another's key", credentials.IoT{Endpoint: "127.0.0.1:1", PrivateKeyFile: otherKey},
			"the key must belong to the certificate"},
		{"CA file without a CA", credentials.IoT{Endpoint: "127.0.0.1:1", CAFile: key}, "no certificate in it"},
		{"nobody there", credentials.IoT{Endpoint: "127.0.0.1:1"}, "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.o
			o.RoleAlias = "CamRoleAlias"
			for _, d := range []struct {
				field *string
				value string
			}{{&o.CertificateFile, cert}, {&o.PrivateKeyFile, key}, {&o.CAFile, ca}} {
				if *d.field == "" {
					*d.field = d.value
				}
			}
			_, err := provider(t, credentials.Options{IoT: &o}).Retrieve(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
	untrusted := credentials.IoT{Endpoint: says(200, `{}`), RoleAlias: "r", CertificateFile: cert, PrivateKeyFile: key}
	if _, err := provider(t, credentials.Options{IoT: &untrusted}).Retrieve(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "Amazon's root CA") {
		t.Errorf("err = %v, want a word on the root CA", err)
	}
}

func TestRetrieveEndsWithItsContext(t *testing.T) {
	bare(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections, sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	cert, key := newAuthority(t).files(t, dir, "c")
	p := provider(t,
		credentials.Options{IoT: &credentials.IoT{Endpoint: l.Addr().String(), RoleAlias: "r", CertificateFile: cert,
			PrivateKeyFile: key}})
	if _, err := p.Retrieve(ctx); err == nil {
		t.Error("no error")
	}
}

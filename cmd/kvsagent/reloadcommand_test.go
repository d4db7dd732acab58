package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// TestReloadCommandReachesThePage wherever the config puts it, and logs in.
func TestReloadCommandReachesThePage(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t, dir)
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, status string }{
		{"socket", "listen: \"unix:" + filepath.Join(dir, "page.sock") + "\""},
		{"https", fmt.Sprintf("listen: \"0.0.0.0:%s\", tls: {certificate: %s, private_key: %s}, users: {anna: %q}",
			port, cert, key, hash)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := startRunning(t, "status: {"+tt.status+"}\n")
			run := func(args ...string) (string, error) {
				var out bytes.Buffer
				c := command()
				c.SetArgs(append([]string{"reload", "-c", r.path}, args...))
				c.SetOut(&out)
				err := c.ExecuteContext(t.Context())
				return out.String(), err
			}
			if tt.name == "https" {
				if _, err := run(); err == nil || !strings.Contains(err.Error(), "--user") || exitCode(err) != 1 {
					t.Errorf("without a login: %v", err)
				}
			}
			if out, err := run("--user", "anna", "--password-file", password); err != nil ||
				!strings.Contains(out, "runs now") {
				t.Errorf("%q, %v", out, err)
			}
			r.write("nonsense: 1\n")
			if _, err := run(); exitCode(err) != exitConfig {
				t.Errorf("a file with a mistake: %v", err)
			}
		})
	}
}

// certificate writes one that names nobody, and its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

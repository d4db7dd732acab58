package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestDeviceCertificate makes a device certificate with the command, and gets keys with it that AWS's tool can use.
func TestDeviceCertificate(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	dir := filepath.Dir(service.CA)
	out, errs, code := rig.Run(t, 10*time.Second, rig.Environment(), rig.Binary, "localkvs", "device-certificate",
		"cam1", "--tls-dir", dir)
	if code != 0 || !strings.Contains(out, "device-cam1.pem") {
		t.Fatalf("device-certificate: exit %d: %s%s", code, out, errs)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "device-cam1.pem"), filepath.Join(dir, "device-cam1.key"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, service.CA),
		Certificates: []tls.Certificate{cert}}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(service.TLSURL + "/role-aliases/any/credentials")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("credentials: %s %v", resp.Status, err)
	}
	env := rig.Environment("AWS_ACCESS_KEY_ID="+got.Credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+got.Credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN="+got.Credentials.SessionToken, "AWS_DEFAULT_REGION="+rig.Region,
		"AWS_CA_BUNDLE="+service.CA)
	if _, errs, code := rig.Run(t, 30*time.Second, env, "/usr/bin/aws", "kinesisvideo", "--endpoint-url",
		service.TLSURL, "list-signaling-channels"); code != 0 {
		t.Errorf("list with the device's keys: exit %d: %s", code, errs)
	}
	if _, errs, code := rig.Run(t, 10*time.Second, rig.Environment(), rig.Binary, "localkvs", "device-certificate",
		"cam1"); code != 2 || !strings.Contains(errs, "--tls-dir") {
		t.Errorf("without --tls-dir: exit %d: %s", code, errs)
	}
}

func pool(t *testing.T, ca string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", ca)
	}
	return p
}

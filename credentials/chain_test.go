package credentials_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/credentials"
)

const roleKeys = `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAROLE","SecretAccessKey":"s","Token":"t","Expiration":%q}`

// Greengrass and ECS hand keys out over loopback.
func TestContainerEndpoint(t *testing.T) {
	bare(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, roleKeys, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", srv.URL+"/keys")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token")
	k, err := provider(t, credentials.Options{}).Retrieve(t.Context())
	if err != nil || k.AccessKeyID != "ASIAROLE" || k.SessionToken != "t" || !k.CanExpire {
		t.Errorf("keys %s, %v", k.AccessKeyID, err)
	}
}

func TestInstanceMetadata(t *testing.T) {
	bare(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			io.WriteString(w, "token")
		case "/latest/meta-data/iam/security-credentials/":
			io.WriteString(w, "role")
		default:
			fmt.Fprintf(w, roleKeys, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}
	}))
	defer srv.Close()
	os.Unsetenv("AWS_EC2_METADATA_DISABLED")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", srv.URL)
	k, err := provider(t, credentials.Options{}).Retrieve(t.Context())
	if err != nil || k.AccessKeyID != "ASIAROLE" {
		t.Errorf("keys %s, %v", k.AccessKeyID, err)
	}
}

func TestCredentialProcess(t *testing.T) {
	home := bare(t)
	out := write(t, filepath.Join(home, "out.json"), `{"Version":1,"AccessKeyId":"ASIAPROC","SecretAccessKey":"s"}`)
	write(t, filepath.Join(home, ".aws", "config"), "[profile cameras]\ncredential_process = cat "+out+"\n")
	k, err := provider(t, credentials.Options{Profile: "cameras"}).Retrieve(t.Context())
	if err != nil || k.AccessKeyID != "ASIAPROC" {
		t.Errorf("keys %s, %v", k.AccessKeyID, err)
	}
}

// A credential_process that hangs is killed: goleak sees the SDK's wait for it otherwise.
func TestCredentialProcessThatHangs(t *testing.T) {
	home := bare(t)
	write(t, filepath.Join(home, ".aws", "config"), "[profile cameras]\ncredential_process = exec sleep 600\n")
	p := provider(t, credentials.Options{Profile: "cameras"})
	began := time.Now()
	_, err := p.Retrieve(t.Context())
	if took := time.Since(began); took > time.Minute || err == nil ||
		!strings.Contains(err.Error(), `profile "cameras"`) {
		t.Errorf("%v after %v, want an error long before the process ends", err, took)
	}
	write(t, filepath.Join(home, ".aws", "config"),
		"[profile cameras]\ncredential_process = echo "+
			"'{\"Version\":1,\"AccessKeyId\":\"ASIAPROC\",\"SecretAccessKey\":\"s\"}'\n")
	if k, err := p.Retrieve(t.Context()); err != nil || k.AccessKeyID != "ASIAPROC" {
		t.Errorf("keys %s, %v, after it was mended", k.AccessKeyID, err)
	}
}

package credentials_test

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/credentials"
)

// identityCentre is IAM Identity Center, as far as the SDK needs it: it renews a token, and returns the keys of a role
// for the newest one.
type identityCentre struct {
	renewed atomic.Int32
	gone    atomic.Bool // the user's access was revoked
}

func (c *identityCentre) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/oidc/token" && r.Method == http.MethodPost && !c.gone.Load():
		c.renewed.Add(1)
		fmt.Fprint(w, `{"accessToken":"token2","expiresIn":3600,"refreshToken":"refresh2","tokenType":"Bearer"}`)
	case r.URL.Path == "/oidc/token":
		w.Header().Set("X-Amzn-ErrorType", "InvalidGrantException")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
	case r.URL.Path == "/sso/federation/credentials" &&
		strings.HasPrefix(r.Header.Get("X-Amz-Sso_bearer_token"), "token") &&
		r.URL.Query().Get("role_name") == "Camera" && r.URL.Query().Get("account_id") == "123456789012":
		fmt.Fprintf(w,
			`{"roleCredentials":{"accessKeyId":"ASIASSO%s","secretAccessKey":"s","sessionToken":"t","expiration":%d}}`,
			r.Header.Get("X-Amz-Sso_bearer_token"), time.Now().Add(time.Hour).UnixMilli())
	default:
		w.Header().Set("X-Amzn-ErrorType", "UnauthorizedException")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"message":"no"}`)
	}
}

// A profile with an sso_session, after aws sso login has left a token in the home directory.
func TestSSO(t *testing.T) {
	for _, tt := range []struct {
		name    string
		token   time.Duration // lifetime of the login's token; 0 means no login
		gone    bool
		want    string // key id
		renewed int32
		err     string
	}{
		{"token is good", time.Hour, false, "ASIASSOtoken1", 0, ""},
		{"token is over, and renewed", -time.Hour, false, "ASIASSOtoken2", 1, ""},
		{"token is over, and cannot be renewed", -time.Hour, true, "", 0, "aws sso login --profile cameras"},
		{"nobody has logged in", 0, false, "", 0, "aws sso login --profile cameras"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := bare(t)
			t.Setenv("HOME", home)
			centre := &identityCentre{}
			centre.gone.Store(tt.gone)
			srv := httptest.NewServer(centre)
			defer srv.Close()
			defer http.DefaultClient.CloseIdleConnections()
			t.Setenv("AWS_ENDPOINT_URL_SSO", srv.URL+"/sso")
			t.Setenv("AWS_ENDPOINT_URL_SSO_OIDC", srv.URL+"/oidc")
			write(t, os.Getenv("AWS_CONFIG_FILE"), `[profile cameras]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Camera

[sso-session corp]
sso_start_url = https://corp.invalid/start
sso_region = eu-west-1
`)
			if tt.token != 0 {
				sum := sha1.Sum([]byte("corp"))
				write(t, filepath.Join(home, ".aws", "sso", "cache", hex.EncodeToString(sum[:])+".json"), fmt.Sprintf(
					`{"accessToken":"token1","expiresAt":%q,"refreshToken":"refresh1","clientId":"c","clientSecret":"s","region":"eu-west-1"}`,
					time.Now().Add(tt.token).UTC().Format(time.RFC3339)))
			}
			k, err := provider(t, credentials.Options{Profile: "cameras"}).Retrieve(t.Context())
			if k.AccessKeyID != tt.want || centre.renewed.Load() != tt.renewed {
				t.Errorf("keys %q, token renewed %d times, %v; want %q and %d", k.AccessKeyID, centre.renewed.Load(),
					err, tt.want, tt.renewed)
			}
			if tt.err == "" && err != nil || tt.err != "" &&
				(err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "token1")) {
				t.Errorf("err = %v, want %q", err, tt.err)
			}
		})
	}
}

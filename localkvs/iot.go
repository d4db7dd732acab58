package localkvs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// roleAlias extracts the alias from /role-aliases/<alias>/credentials.
func roleAlias(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/role-aliases/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "/credentials")
}

// iotCredentials is the answer of the credential endpoint, in its spelling.
type iotCredentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Expiration      string `json:"expiration"`
}

// serveCredentials gives temporary keys to a device that presents a certificate of our CA, like the AWS IoT credentials
// provider. It accepts any role alias. (IoT Core developer guide, "Authorizing direct calls to AWS services".)
func (s *Server) serveCredentials(w http.ResponseWriter, r *http.Request, alias string) {
	if s.faults.refuseCall(w, "GetCredentials") {
		return
	}
	thing, err := device(r)
	switch {
	case err == nil && r.Method != http.MethodGet:
		err = &apiError{http.StatusMethodNotAllowed, "MethodNotAllowedException", "get credentials with GET"}
	case err == nil && (len(alias) > 128 || alias == "" || strings.Contains(alias, "/")):
		err = notFound("role alias")
	}
	if err != nil {
		s.opts.Log.Info("credentials refused", "err", err, "remote", r.RemoteAddr)
		writeError(w, err)
		return
	}
	t := s.keys.issue(thing, s.now().Add(s.opts.Limits.TokenLife))
	s.opts.Log.Info("credentials given", "thing", thing, "alias", alias, "expires", t.expires)
	writeJSON(w, http.StatusOK, struct {
		Credentials iotCredentials `json:"credentials"`
	}{iotCredentials{t.access, t.secret, t.token, t.expires.UTC().Format(time.RFC3339)}})
}

// device returns the thing whose certificate the caller presented. A thing name in the header must be the same.
func device(r *http.Request) (string, *apiError) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", forbidden("AccessDeniedException", "a device certificate is required")
	}
	thing := r.TLS.PeerCertificates[0].Subject.CommonName
	if h := r.Header.Get("x-amzn-iot-thingname"); h != "" && h != thing {
		return "", forbidden("AccessDeniedException", "the certificate is not attached to that thing")
	}
	return thing, nil
}

// DeviceCertificate makes a device certificate for a thing, signed by the CA in dir (see Options.TLSDir), and returns
// the paths of the certificate and its key. It makes the CA if there is none. It replaces existing files of that thing.
func DeviceCertificate(dir, thing string) (certFile, keyFile string, err error) {
	if !isID(thing) || len(thing) > 64 {
		return "", "", fmt.Errorf("device certificate: thing %.80q must match [a-zA-Z0-9_.-]{1,64}", thing)
	}
	now := time.Now()
	ca, err := loadAuthority(dir, now)
	if err != nil {
		return "", "", fmt.Errorf("device certificate: %w", err)
	}
	der, key, err := ca.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: thing},
		NotAfter:    ca.cert.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, now)
	if err != nil {
		return "", "", fmt.Errorf("device certificate: %w", err)
	}
	certFile, keyFile = filepath.Join(dir, "device-"+thing+".pem"), filepath.Join(dir, "device-"+thing+".key")
	if err := writePair(certFile, keyFile, der, key); err != nil {
		return "", "", fmt.Errorf("device certificate: %w", err)
	}
	return certFile, keyFile, nil
}

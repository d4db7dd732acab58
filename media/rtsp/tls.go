package rtsp

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
)

// certificateError is a camera's certificate that nobody vouches for.
type certificateError struct {
	print string // SHA-256 of the certificate
	err   error
}

func (e *certificateError) Error() string { return e.err.Error() }
func (e *certificateError) Unwrap() error { return e.err }

// tlsConfig checks the camera's certificate: against a fingerprint, which is how the certificates that cameras make
// themselves are known, or else as browsers do.
func tlsConfig(host, fingerprint string) *tls.Config {
	return &tls.Config{
		ServerName:         host,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			cert := state.PeerCertificates[0]
			sum := sha256.Sum256(cert.Raw)
			print := hex.EncodeToString(sum[:])
			if fingerprint != "" {
				if print != fingerprint {
					return &certificateError{print,
						fmt.Errorf("the camera's certificate has another fingerprint, %s", print)}
				}
				return nil
			}
			pool := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				pool.AddCert(c)
			}
			if _, err := cert.Verify(x509.VerifyOptions{DNSName: host, Intermediates: pool}); err != nil {
				return &certificateError{print, err}
			}
			return nil
		},
	}
}

// parseFingerprint reads a SHA-256 fingerprint in hex, with or without colons; "" is none.
func parseFingerprint(text string) (string, error) {
	plain := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if b, err := hex.DecodeString(plain); err != nil || len(b) != sha256.Size && len(b) != 0 {
		return "", fmt.Errorf("fingerprint %q; hint: the SHA-256 of the certificate, 64 hex digits", text)
	}
	return plain, nil
}

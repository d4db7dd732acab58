package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// renewAfter is how long connections get the same certificate. Pion's are good for a month.
const renewAfter = 24 * time.Hour

// Certificates is the DTLS certificate that connections share, renewed once a day: making one is a tenth of what a new
// viewer costs. Remotes see its fingerprint, so connections that must not be known as the same host's have different
// Certificates. The zero value works.
type Certificates struct {
	mu   sync.Mutex // guards the fields below
	cert webrtc.Certificate
	at   time.Time // when it was made
}

// Get returns the certificate for a connection that begins now.
func (c *Certificates) Get() (webrtc.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) > renewAfter {
		cert, err := newCertificate()
		if err != nil {
			return webrtc.Certificate{}, err
		}
		c.cert, c.at = cert, time.Now()
	}
	return c.cert, nil
}

func newCertificate() (webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("dtls key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("dtls certificate: %w", err)
	}
	return *cert, nil
}

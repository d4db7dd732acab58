package localkvs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	caCert = "ca.pem"
	caKey  = "ca.key"

	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour // browsers refuse more than 398 days

	maxLeaves = 256
)

// CAFile returns the path of the certificate that clients must trust, or "" when TLS is off.
func (s *Server) CAFile() string {
	if s.ca == nil {
		return ""
	}
	return filepath.Join(s.opts.TLSDir, caCert)
}

// authority is the service's own CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex // guards leaves
	leaves map[string]*tls.Certificate
}

// loadAuthority reads the CA from a directory, or makes it.
func loadAuthority(dir string, now time.Time) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, caCert), filepath.Join(dir, caKey))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeAuthority(dir, now)
	case err != nil:
		return nil, fmt.Errorf("load CA: %w; hint: remove %s and %s from %s to get new ones", err, caCert, caKey, dir)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA || now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("load CA: %s in %s is not a CA of ours or has expired; hint: remove it and %s to get "+
			"new ones", caCert, dir, caKey)
	}
	return &authority{cert: pair.Leaf, key: key}, nil
}

func makeAuthority(dir string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "localkvs CA " + now.UTC().Format(time.DateOnly)},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	if err := writePair(filepath.Join(dir, caCert), filepath.Join(dir, caKey), der, key); err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

// writePair writes a certificate and its key as PEM. Only the owner may read the key.
func writePair(certFile, keyFile string, der []byte, key *ecdsa.PrivateKey) error {
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}),
		0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic("localkvs: no randomness: " + err.Error()) // crypto/rand does not fail
	}
	return n
}

// sign makes a certificate with a new key.
func (a *authority) sign(template *x509.Certificate, now time.Time) (der []byte, key *ecdsa.PrivateKey, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = serial()
	template.NotBefore = now.Add(-time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err = x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	return der, key, err
}

// leaf returns a server certificate for the name that a client connects to. A client that names a host under .localhost
// gets that very name, since some TLS libraries do not accept *.localhost.
func (a *authority) leaf(names []string, now time.Time) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := strings.Join(names, " ")
	if l := a.leaves[id]; l != nil && now.Before(l.Leaf.NotAfter.Add(-24*time.Hour)) {
		return l, nil
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localkvs"},
		NotAfter:    now.Add(leafLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, key, err := a.sign(template, now)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if a.leaves == nil || len(a.leaves) >= maxLeaves {
		a.leaves = map[string]*tls.Certificate{}
	}
	l := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}
	a.leaves[id] = l
	return l, nil
}

// tlsConfig returns the TLS config of the service: HTTP/1.1 only, as WebSocket needs it, with client certificates
// accepted for the credential endpoint.
func (s *Server) tlsConfig() *tls.Config {
	if s.ca == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.cert)
	return &tls.Config{
		NextProtos: []string{"http/1.1"},
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  pool,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.ca.leaf(s.certNames(hello), time.Now())
		},
	}
}

// certNames returns the names that a client's certificate must have.
func (s *Server) certNames(hello *tls.ClientHelloInfo) []string {
	names := append([]string{"localhost", "*.localhost", "127.0.0.1", "::1"}, s.opts.TLSNames...)
	if host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String()); err == nil {
		host, _, _ = strings.Cut(host, "%") // remove a zone
		names = appendNew(names, host)
	}
	if sni := strings.ToLower(hello.ServerName); len(sni) <= 253 && strings.HasSuffix(sni, ".localhost") {
		names = appendNew(names, sni)
	}
	return names
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

package transport

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/webrtc/v4"
)

// SRTPKeys learns the keys of the media that we send, so that a broadcast can encrypt straight into the datagrams of
// many viewers. Pion's DTLS transport does not export them, but what they are made of passes two public hooks when we
// are the DTLS server, which we are unless the remote insists: the master secret and the client's random come as a line
// of a key log, which is kept here and written nowhere, and the server's random and the chosen profile stand in our
// ServerHello. Where one is missing media goes through Pion, as before.
//
// docs/decisions/0001-srtp-keys.md tells why, and what was measured.
type SRTPKeys struct {
	guard *contain.Guard // Pion's handshake calls us

	mu           sync.Mutex
	clientRandom []byte
	secret       []byte
	serverRandom []byte
	profile      dtls.SRTPProtectionProfile
	hash         func() hash.Hash
}

// Attach hangs the hooks on the settings of one connection.
func (k *SRTPKeys) Attach(s *webrtc.SettingEngine) {
	// As offerer we are the server already: the answerer takes the client's part.
	_ = s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer)
	s.SetDTLSKeyLogWriter(k)
	s.SetDTLSServerHelloMessageHook(k.onServerHello)
}

// Write takes a line of the key log: "CLIENT_RANDOM <client random> <master secret>" in hexadecimal (NSS key log
// format).
func (k *SRTPKeys) Write(b []byte) (int, error) {
	defer k.guard.Contain("handshake")
	k.mu.Lock()
	defer k.mu.Unlock()
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) != 3 || string(fields[0]) != "CLIENT_RANDOM" {
			continue
		}
		random, err1 := hex.DecodeString(string(fields[1]))
		secret, err2 := hex.DecodeString(string(fields[2]))
		if err1 == nil && err2 == nil && len(random) == handshake.RandomLength {
			k.clientRandom, k.secret = random, secret
		}
	}
	return len(b), nil
}

func (k *SRTPKeys) onServerHello(m handshake.MessageServerHello) handshake.Message {
	k.learn(&m)
	return &m
}

func (k *SRTPKeys) learn(m *handshake.MessageServerHello) {
	defer k.guard.Contain("handshake")
	k.mu.Lock()
	defer k.mu.Unlock()
	random := m.Random.MarshalFixed()
	k.serverRandom, k.hash = random[:], sha256.New
	if m.CipherSuiteID != nil {
		switch dtls.CipherSuiteID(*m.CipherSuiteID) {
		case dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, dtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
			k.hash = sha512.New384
		}
	}
	for _, e := range m.Extensions {
		if use, ok := e.(*extension.UseSRTP); ok && len(use.ProtectionProfiles) == 1 {
			k.profile = use.ProtectionProfiles[0]
		}
	}
}

// ErrNoSecret is why media goes through Pion though we are the DTLS server: the handshake gave no master secret. DTLS
// 1.3 has none, and tells its exporter secret under another name (docs/decisions/0001-srtp-keys.md).
var ErrNoSecret = errors.New("the dtls handshake logged no master secret")

// Ciphers give what encrypts the media that we send and what decrypts the remote's reports on it, or why both are left
// to Pion.
func (k *SRTPKeys) Ciphers() (*wire.SRTPCipher, *wire.SRTCPOpener, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.serverRandom == nil:
		return nil, nil, errors.New("we are not the dtls server")
	case k.secret == nil:
		return nil, nil, ErrNoSecret
	}
	keyLen := 0
	switch k.profile {
	case dtls.SRTP_AEAD_AES_128_GCM:
		keyLen = 16
	case dtls.SRTP_AEAD_AES_256_GCM:
		keyLen = 32
	default:
		return nil, nil, fmt.Errorf("srtp profile %#04x is not AES-GCM", k.profile)
	}
	// RFC 5764 section 4.2: client key, server key, client salt, server salt, exported under this label (RFC 5705
	// section 4).
	const saltLen = 12
	seed := append([]byte("EXTRACTOR-dtls_srtp"), k.clientRandom...)
	seed = append(seed, k.serverRandom...)
	material, err := prf.PHash(k.secret, seed, 2*(keyLen+saltLen), k.hash)
	if err != nil {
		return nil, nil, fmt.Errorf("srtp keying material: %w", err)
	}
	theirKey, ourKey := material[:keyLen], material[keyLen:2*keyLen]
	theirSalt, ourSalt := material[2*keyLen:2*keyLen+saltLen], material[2*keyLen+saltLen:]
	out, err := wire.NewSRTPCipher(ourKey, ourSalt)
	if err != nil {
		return nil, nil, err
	}
	in, err := wire.NewSRTCPOpener(theirKey, theirSalt)
	if err != nil {
		return nil, nil, err
	}
	return out, in, nil
}

// NewSRTPKeys learns the keys of one connection.
func NewSRTPKeys(g *contain.Guard) *SRTPKeys { return &SRTPKeys{guard: g} }

package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// Sizes of what SRTP with AES-GCM adds (RFC 7714).
const (
	RTPHeaderLen = 12
	SRTPTagLen   = 16
)

// What the first label of a key derivation (RFC 3711 section 4.3.2) stands for; the salt's is two further.
const (
	labelSRTP  = 0
	labelSRTCP = 3
)

// gcm is AES-GCM under the session keys of one direction, for RTP or for RTCP.
type gcm struct {
	aead  cipher.AEAD
	salt  [12]byte
	nonce [12]byte
}

func newGCM(masterKey, masterSalt []byte, label byte) (*gcm, error) {
	key, err := deriveSRTP(masterKey, masterSalt, label, len(masterKey))
	if err != nil {
		return nil, err
	}
	salt, err := deriveSRTP(masterKey, masterSalt, label+2, 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("srtp cipher: %w", err)
	}
	g := &gcm{}
	if g.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("srtp cipher: %w", err)
	}
	copy(g.salt[:], salt)
	return g, nil
}

// iv is the nonce of a packet. RFC 7714 section 8.1: two zero bytes, SSRC, and the packet's index of 48 bits, all of it
// XOR the salt. An index of RTCP has 31 bits (section 9.1). It is good until the next call.
func (g *gcm) iv(ssrc uint32, index uint64) []byte {
	binary.BigEndian.PutUint16(g.nonce[0:], 0)
	binary.BigEndian.PutUint32(g.nonce[2:], ssrc)
	binary.BigEndian.PutUint16(g.nonce[6:], uint16(index>>32))
	binary.BigEndian.PutUint32(g.nonce[8:], uint32(index))
	for i := range g.nonce {
		g.nonce[i] ^= g.salt[i]
	}
	return g.nonce[:]
}

// SRTPCipher encrypts RTP with AES-GCM (RFC 7714), in place and without allocating. One goroutine at a time uses it.
type SRTPCipher struct{ gcm }

// NewSRTPCipher encrypts with our master key and salt (AES-128-GCM).
func NewSRTPCipher(masterKey, masterSalt []byte) (*SRTPCipher, error) {
	g, err := newGCM(masterKey, masterSalt, labelSRTP)
	if err != nil {
		return nil, err
	}
	return &SRTPCipher{*g}, nil
}

// deriveSRTP is the key derivation of RFC 3711 section 4.3.1 with a rate of zero: AES in counter mode under the master
// key, from the master salt (padded as RFC 7714 section 11 says) and the label.
func deriveSRTP(masterKey, masterSalt []byte, label byte, n int) ([]byte, error) {
	block, err := aes.NewCipher(masterKey)
	if err != nil {
		return nil, fmt.Errorf("srtp key derivation: %w", err)
	}
	var x [aes.BlockSize]byte
	copy(x[:14], masterSalt)
	x[7] ^= label
	out := make([]byte, 0, n+aes.BlockSize)
	for i := uint16(0); len(out) < n; i++ {
		binary.BigEndian.PutUint16(x[14:], i)
		var y [aes.BlockSize]byte
		block.Encrypt(y[:], x[:])
		out = append(out, y[:]...)
	}
	return out[:n], nil
}

// Seal encrypts the packet in b, a header of that many bytes and a payload, and gives it with its tag. b has room for
// the tag. index is the packet's extended sequence number: the roll-over counter above its low 16 bits.
func (c *SRTPCipher) Seal(b []byte, header int, ssrc uint32, index uint64) []byte {
	return c.aead.Seal(b[:header], c.iv(ssrc, index), b[header:], b[:header])
}

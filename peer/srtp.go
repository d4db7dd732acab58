package peer

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// Sizes of what SRTP with AES-GCM adds (RFC 7714).
const (
	rtpHeaderLen = 12
	srtpTagLen   = 16
)

// srtpCipher encrypts RTP with AES-GCM (RFC 7714), in place and without allocating. One goroutine at a time uses it.
type srtpCipher struct {
	aead  cipher.AEAD
	salt  [12]byte
	nonce [12]byte
}

func newSRTPCipher(masterKey, masterSalt []byte) (*srtpCipher, error) {
	key, err := deriveSRTP(masterKey, masterSalt, 0, len(masterKey))
	if err != nil {
		return nil, err
	}
	salt, err := deriveSRTP(masterKey, masterSalt, 2, 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("srtp cipher: %w", err)
	}
	c := &srtpCipher{}
	if c.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("srtp cipher: %w", err)
	}
	copy(c.salt[:], salt)
	return c, nil
}

// deriveSRTP is the key derivation of RFC 3711 section 4.3.1 with a rate of zero: AES in counter mode under the master key, from the master salt (padded as
// RFC 7714 section 11 says) and the label: 0 is the encryption key, 2 the salt.
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

// seal encrypts the packet in b, a header of that many bytes and a payload, and gives it with its tag. b has room for the tag. index is the packet's
// extended sequence number: the roll-over counter above its low 16 bits.
func (c *srtpCipher) seal(b []byte, header int, ssrc uint32, index uint64) []byte {
	// RFC 7714 section 8.1: two zero bytes, SSRC, roll-over counter, sequence number, and all of it XOR the salt.
	binary.BigEndian.PutUint16(c.nonce[0:], 0)
	binary.BigEndian.PutUint32(c.nonce[2:], ssrc)
	binary.BigEndian.PutUint32(c.nonce[6:], uint32(index>>16))
	binary.BigEndian.PutUint16(c.nonce[10:], uint16(index))
	for i := range c.nonce {
		c.nonce[i] ^= c.salt[i]
	}
	return c.aead.Seal(b[:header], c.nonce[:], b[header:], b[:header])
}

package wire

import (
	"encoding/binary"
	"errors"
)

const (
	rtcpHeaderLen = 8
	srtcpIndexLen = 4
	srtcpLeast    = rtcpHeaderLen + SRTPTagLen + srtcpIndexLen
	encryptedBit  = 1 << 31
)

var (
	errNotOurs  = errors.New("not an encrypted srtcp packet for us")
	ErrReplayed = errors.New("an srtcp packet that came before")
)

// SRTCPOpener decrypts the RTCP that one remote sends with AES-GCM (RFC 7714 section 9). One goroutine at a time uses
// it.
type SRTCPOpener struct {
	gcm
	aad  []byte
	came map[uint32]*replay // by the SSRC that it comes from, each of which counts by itself
}

// NewSRTCPOpener decrypts with the remote's master key and salt (AES-128-GCM).
func NewSRTCPOpener(masterKey, masterSalt []byte) (*SRTCPOpener, error) {
	g, err := newGCM(masterKey, masterSalt, labelSRTCP)
	if err != nil {
		return nil, err
	}
	return &SRTCPOpener{gcm: *g, came: map[uint32]*replay{}}, nil
}

// Open decrypts a packet behind dst, and gives the compound RTCP packet. It is errNotOurs when this is for somebody
// else, unencrypted, or of one stream too many, and errReplayed when it is old.
//
//	| RTCP header, 8 bytes | encrypted | tag, 16 bytes | E, index (31 bits) |
func (o *SRTCPOpener) Open(dst, packet []byte) ([]byte, error) {
	if len(packet) < srtcpLeast {
		return nil, errNotOurs
	}
	body, word := packet[:len(packet)-srtcpIndexLen], packet[len(packet)-srtcpIndexLen:]
	index := binary.BigEndian.Uint32(word)
	if index&encryptedBit == 0 {
		return nil, errNotOurs
	}
	index &^= encryptedBit
	ssrc := binary.BigEndian.Uint32(packet[4:])
	nonce := o.iv(ssrc, uint64(index))
	o.aad = append(append(o.aad[:0], packet[:rtcpHeaderLen]...), word...)
	plain, err := o.aead.Open(append(dst[:0], packet[:rtcpHeaderLen]...), nonce, body[rtcpHeaderLen:], o.aad)
	if err != nil {
		return nil, errNotOurs
	}
	r := o.came[ssrc]
	switch {
	case r == nil && len(o.came) == MaxRTCPStreams:
		return nil, errNotOurs
	case r == nil:
		r = &replay{}
		o.came[ssrc] = r
	}
	if !r.fresh(index) {
		return nil, ErrReplayed
	}
	return plain, nil
}

// replay remembers which of the newest indices have come (RFC 3711 section 3.3.2).
type replay struct {
	next uint32 // behind the highest that has come
	seen uint64 // bit i: next-1-i has come
}

// fresh says whether an index comes for the first time, and notes it. One that is too old to tell does not.
func (r *replay) fresh(index uint32) bool {
	if index >= r.next {
		ahead := index - r.next + 1
		r.seen = r.seen<<ahead | 1 // Go shifts by 64 and more to zero
		r.next = index + 1
		return true
	}
	back := r.next - 1 - index
	if back >= 64 || r.seen>>back&1 != 0 {
		return false
	}
	r.seen |= 1 << back
	return true
}

const MaxRTCPStreams = 32 // SSRCs that RTCP speaks of: ours, theirs, retransmissions

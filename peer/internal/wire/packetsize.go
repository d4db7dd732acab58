package wire

// MaxPayload keeps an RTP packet with its header, a few header extensions and the SRTP tag under 1,200 bytes, which
// every path carries, TURN included.
const MaxPayload = 1140

// HeaderMost is the longest header: RTP's own (RFC 3550 section 5.1), and one extension (RFC 8285 section 4.2) of two
// bytes.
const HeaderMost = RTPHeaderLen + 8

// RetransmitBytes is the arena of one answer.
const RetransmitBytes = 32 << 10

// PartPackets is how much leaves at once; partPause is the time between, on a wide path: about 100 Mbit/s. An unpaced
// burst overruns the receiver's socket buffer.
const PartPackets = 20

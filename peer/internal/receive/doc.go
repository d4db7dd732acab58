// Package receive makes frames of the packets that a remote sends.
package receive

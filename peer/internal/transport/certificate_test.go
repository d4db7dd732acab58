package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestCertificateIsRenewed: connections share a certificate, and a daemon that runs for years never shows one that has
// expired.
func TestCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var certs Certificates
		first, err := certs.Get()
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			time.Sleep(23 * time.Hour)
			c, err := certs.Get()
			if err != nil {
				t.Fatal(err)
			}
			if !c.Expires().After(time.Now().Add(24 * time.Hour)) {
				t.Fatalf("good until %v, now is %v", c.Expires(), time.Now())
			}
			again, _ := certs.Get()
			if !again.Equals(c) {
				t.Fatal("two connections at once have two certificates")
			}
		}
		if last, _ := certs.Get(); last.Equals(first) {
			t.Error("the same after a year")
		}
	})
}

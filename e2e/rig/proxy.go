package rig

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// proxyVariable makes this test's own binary a proxy.
const (
	proxyVariable = "KVSAGENT_TEST_PROXY"
	ProxyAt       = ServiceIP + ":3128"
)

// StartProxy starts an HTTP proxy on the internet.
func (n *Internet) StartProxy() {
	n.t.Helper()
	p := n.Program("", Environment(proxyVariable+"="+ProxyAt), os.Args[0])
	p.Find(n.t, &p.Stderr, 10*time.Second, "proxy is up")
}

// serveProxy serves those who are user with the password secret, and connects them to wherever they want (RFC 9110
// section 9.3.6).
func serveProxy(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "proxy is up")
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		if user, password, _ := r.BasicAuth(); r.Method != http.MethodConnect || user != "user" ||
			password != "secret" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		far, err := net.DialTimeout("tcp", r.Host, 5*time.Second)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer far.Close()
		near, rest, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer near.Close()
		_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(near, far); near.Close() })
		_, _ = io.Copy(far, rest)
		far.Close()
		wg.Wait()
	}))
}

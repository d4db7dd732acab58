// Package httpproxy opens TCP connections through an HTTP proxy (CONNECT, RFC 9110 section 9.3.6).
//
//	us --TCP or TLS--> proxy: CONNECT host:port HTTP/1.1
//	us <-------------- proxy: HTTP/1.1 200
//	us <=============> host:port
package httpproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxReply limits what a proxy may say before the tunnel begins.
const maxReply = 16 << 10

// Dial opens a connection to addr (HOST:PORT) through proxy, an http or https URL that may hold a user and a password.
// roots are the CAs for an https proxy; nil means the system's. The proxy resolves the host. ctx limits the dialling,
// not the connection.
func Dial(ctx context.Context, proxy *url.URL, roots *x509.CertPool, addr string) (_ net.Conn, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("proxy %s: %w", proxy.Redacted(), err)
		}
	}()
	port := map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	if port == "" {
		return nil, fmt.Errorf("scheme %q; hint: only http and https proxies are understood", proxy.Scheme)
	}
	if p := proxy.Port(); p != "" {
		port = p
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), port))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	conn := raw
	if proxy.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: proxy.Hostname(), RootCAs: roots})
	}
	if err := tunnel(conn, proxy, addr); err != nil {
		stop()
		conn.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect %s: %w", addr, ctx.Err())
		}
		return nil, err
	}
	if !stop() {
		conn.Close() // the deadline may be set at any moment
		return nil, fmt.Errorf("connect %s: %w", addr, ctx.Err())
	}
	return conn, nil
}

// tunnel asks for a connection to addr.
func tunnel(conn net.Conn, proxy *url.URL, addr string) error {
	var ask strings.Builder
	fmt.Fprintf(&ask, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n", addr)
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		fmt.Fprintf(&ask, "Proxy-Authorization: Basic %s\r\n",
			base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	ask.WriteString("\r\n")
	if _, err := io.WriteString(conn, ask.String()); err != nil {
		return err
	}
	reply := bufio.NewReader(io.LimitReader(conn, maxReply))
	res, err := http.ReadResponse(reply, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("connect %s: %w", addr, err)
	}
	res.Body.Close()
	switch {
	case res.StatusCode/100 != 2:
		return fmt.Errorf("connect %s: %s", addr, res.Status)
	case reply.Buffered() > 0:
		return fmt.Errorf("connect %s: the server speaks before it is spoken to", addr)
	}
	return nil
}

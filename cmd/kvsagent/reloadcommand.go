package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
	"github.com/spf13/cobra"
)

func reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "reload", Short: "Have the running agent read its config again, and wait for the outcome", Args: noArgs,
		Long: "Check the config file, have the running agent read it, and wait until it runs by it. Exit status 0 " +
			"when it does, 78 when the file has mistakes, 1 when the agent could not take it; it then runs as " +
			"before.\n" +
			"The agent is reached through its status page. Where that has users, --user and --password-file log in.",
	}
	path := configFlag(c)
	at := c.Flags().String("page", "", "URL of the running agent's status page, or unix:PATH (default: as the "+
		"config says)")
	user := c.Flags().String("user", "", "user of the status page")
	file := c.Flags().String("password-file", "", "file that holds the user's password on one line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load(*path)
		if err != nil {
			return err
		}
		if *at == "" {
			if *at, err = pageURL(cfg.Status); err != nil {
				return err
			}
		}
		var password []byte
		if *file != "" {
			if password, err = os.ReadFile(*file); err != nil {
				return fmt.Errorf("--password-file: %w", err)
			}
		}
		if err := askReloadAs(c.Context(), *at, *user, strings.TrimRight(string(password), "\r\n")); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: runs now\n", *path)
		return err
	}
	return c
}

// pageURL is where this host reaches the page of a config.
func pageURL(c config.Status) (string, error) {
	if c.Off() {
		return "", errors.New("the status page is off in this config; hint: systemctl reload kvsagent, or --page " +
			"when the running agent has one")
	}
	if strings.HasPrefix(c.Listen, "unix:") {
		return c.Listen, nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", fmt.Errorf("status.listen: %w", err)
	}
	if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	if c.TLS != nil {
		u.Scheme = "https"
	}
	return u.String(), nil
}

// reloadWithin is how long kvsagent reload waits for the outcome.
const reloadWithin = time.Minute

// askReload has the agent with that page read its config again.
func askReload(ctx context.Context, page string) error { return askReloadAs(ctx, page, "", "") }

func askReloadAs(ctx context.Context, page, user, password string) error {
	at, client, err := dialPage(page)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.JoinPath("api/v1/reload").String(),
		bytes.NewReader([]byte("{}")))
	if err != nil {
		return fmt.Errorf("--page: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", at.Scheme+"://"+at.Host)
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w; hint: does the agent run? --page says where its status page is", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	var p status.Problem
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case json.Unmarshal(body, &p) != nil || p.Text == "":
		return fmt.Errorf("%s answers %s", at.Redacted(), resp.Status)
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w; hint: --user and --password-file", &p)
	}
	return fmt.Errorf("not reloaded, the old config goes on: %w", &p)
}

// dialPage returns a client that reaches a page, and the page's URL.
func dialPage(page string) (*url.URL, *http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	path, isSocket := strings.CutPrefix(page, "unix:")
	if isSocket {
		page, t.Proxy = "http://localhost", nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	}
	at, err := url.Parse(page)
	if err != nil || at.Host == "" {
		return nil, nil, errors.New("--page is not a URL such as http://127.0.0.1:9780") // it may hold a password
	}
	if a, err := netip.ParseAddr(at.Hostname()); err == nil && a.IsLoopback() || at.Hostname() == "localhost" {
		// Nobody stands between this host and itself, and few certificates name 127.0.0.1.
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	}
	return at, &http.Client{Transport: t}, nil
}

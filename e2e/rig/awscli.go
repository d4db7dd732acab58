package rig

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// AWSCLI runs Debian's aws with the keys of localkvs, and returns its standard output. ca is the CA to trust, or
// nothing.
func AWSCLI(t testing.TB, ca string, args ...string) string {
	t.Helper()
	env := Environment(Keys...)
	if ca != "" {
		env = append(env, "AWS_CA_BUNDLE="+ca)
	}
	out, errs, code := Run(t, time.Minute, env, "/usr/bin/aws", append(args, "--output", "json")...)
	if code != 0 {
		t.Fatalf("aws %s: exit %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// Cli runs aws SERVICE COMMAND over TLS and decodes what it prints, unless out is nil.
func (s *KVS) Cli(t testing.TB, out any, service string, args ...string) {
	t.Helper()
	text := AWSCLI(t, s.CA, append([]string{service, "--endpoint-url", s.TLSURL}, args...)...)
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("aws %s %s: %v in %q", service, args[0], err, text)
	}
}

// CliRefused runs a command that must fail with an error of the type.
func (s *KVS) CliRefused(t testing.TB, errorType, service string, args ...string) {
	t.Helper()
	env := Environment(append([]string{"AWS_CA_BUNDLE=" + s.CA}, Keys...)...)
	_, errs, code := Run(t, 30*time.Second, env, "/usr/bin/aws",
		append([]string{service, "--endpoint-url", s.TLSURL}, args...)...)
	if code == 0 || !strings.Contains(errs, errorType) {
		t.Errorf("aws %s %s: exit %d, %q; want %s", service, args[0], code, errs, errorType)
	}
}

// Node runs a script of browser/ that trusts the service, and returns what it prints.
func (s *KVS) Node(t testing.TB, script string, args ...string) string {
	t.Helper()
	out, errs, code := Run(t, 90*time.Second, Environment("NODE_EXTRA_CA_CERTS="+s.CA), "/usr/bin/node",
		append([]string{browserFile(script)}, args...)...)
	if code != 0 {
		t.Fatalf("node %s: exit %d\n%s%s", script, code, out, errs)
	}
	return out
}

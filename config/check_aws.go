package config

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
)

// regionOfHost finds the region in the host name of a KVS endpoint (AWS General Reference, Kinesis Video Streams
// endpoints).
var regionOfHost = regexp.MustCompile(`^(?:[a-z0-9-]+\.)?kinesisvideo(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws|api\.amazonwebservices\.com\.cn)$`)

// aws checks the endpoint and credentials, and finds the region.
func (c *checker) aws(m *mark, a *AWS) {
	if m.bad {
		return
	}
	c.environment(m, a)
	var host string
	if em := m.at("endpoint"); m.has("endpoint") && !em.bad {
		host = c.endpoint(em, a)
	} else if name := c.endpointVariable(m); name != "" {
		a.Endpoint, _ = c.env(name)
		host = c.endpoint(&mark{key: name, line: m.line}, a)
	}
	c.region(m, a, host)
	if m.has("ca_file") {
		c.certificates(m.at("ca_file"), &a.CAFile)
	}
	c.credentials(m.at("credentials"), &a.Credentials)
}

// environment fills in what every AWS tool takes from the environment when the file does not set it (AWS SDKs and Tools
// reference guide, "Dual-stack and FIPS endpoints" and "General configuration settings").
func (c *checker) environment(m *mark, a *AWS) {
	env := func(name string) string { v, _ := c.env(name); return v }
	if !m.has("ca_file") {
		a.CAFile = env("AWS_CA_BUNDLE")
	}
	if !m.has("dual_stack") {
		a.DualStack = env("AWS_USE_DUALSTACK_ENDPOINT") == "true"
	}
	if !m.has("fips") {
		a.FIPS = env("AWS_USE_FIPS_ENDPOINT") == "true"
	}
}

// endpointVariable returns the name of the variable that holds the endpoint when the file does not (the same guide,
// "Service-specific endpoints").
func (c *checker) endpointVariable(m *mark) string {
	if ignore, _ := c.env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"); ignore == "true" || m.has("endpoint") {
		return ""
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_KINESIS_VIDEO", "AWS_ENDPOINT_URL"} {
		if url, _ := c.env(name); url != "" {
			return name
		}
	}
	return ""
}

// endpoint checks the control plane's URL and returns its host name.
func (c *checker) endpoint(m *mark, a *AWS) string {
	const hint = "http://HOST:PORT or https://HOST[:PORT], such as http://127.0.0.1:9790"
	u, ok := c.httpURL(m, a.Endpoint, hint)
	if !ok {
		return ""
	}
	a.Endpoint = u.Scheme + "://" + u.Host
	return strings.ToLower(u.Hostname())
}

// httpURL parses a URL that has a scheme and a host and nothing else. Messages do not show the URL: it may hold a
// password.
func (c *checker) httpURL(m *mark, raw, hint string) (*url.URL, bool) {
	u, err := url.Parse(raw)
	switch {
	case !strings.Contains(raw, "://"):
		c.fail(m, "no scheme", hint)
	case err != nil:
		c.fail(m, "not a URL", hint)
	case u.Scheme != "http" && u.Scheme != "https":
		c.fail(m, "unknown scheme "+quote(u.Scheme), hint)
	case u.User != nil:
		c.fail(m, "user and password in the URL", "keys belong under credentials")
	case !goodHost(u.Hostname()) || !goodPort(u):
		c.fail(m, "bad host or port", hint)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		c.fail(m, "something follows the host", hint)
	default:
		return u, true
	}
	return nil, false
}

// region finds the region: from the key, the environment or the endpoint's name. For an endpoint that is not AWS, any
// will do.
func (c *checker) region(m *mark, a *AWS, host string) {
	var named string
	if f := regionOfHost.FindStringSubmatch(host); f != nil {
		named = f[1]
	}
	rm := m.at("region")
	if m.has("region") {
		if !rm.bad && named != "" && a.Region != named {
			c.fail(rm, "not the region of the endpoint", "region: "+named+", or leave one of them out")
		}
		return
	}
	env := func(name string) string { v, _ := c.env(name); return v }
	a.Region = cmp.Or(named, env("AWS_REGION"), env("AWS_DEFAULT_REGION"))
	switch {
	case a.Region == "" && a.Endpoint == "":
		c.fail(rm, "region is missing", "such as eu-central-1, or set AWS_REGION")
	case a.Region == "":
		// A server that is not AWS accepts any region; this is the first one in the samples of all KVS SDKs.
		a.Region = "us-west-2"
	case !c.matches(tagOf[AWS]("Region"), a.Region):
		c.fail(rm, "AWS_REGION or AWS_DEFAULT_REGION is not a region", "such as eu-central-1")
	}
}

// credentials checks that at most one kind is given, and that it is complete.
func (c *checker) credentials(m *mark, cr *Credentials) {
	c.secret(m, "secret_access_key", &cr.SecretAccessKey, &cr.SecretAccessKeyFile)
	c.secret(m, "session_token", &cr.SessionToken, &cr.SessionTokenFile)
	id, secret := m.has("access_key_id"), m.has("secret_access_key") || m.has("secret_access_key_file")
	token := m.has("session_token") || m.has("session_token_file")
	kinds := 0
	for _, there := range []bool{m.has("profile"), id || secret || token, m.has("iot")} {
		if there {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		c.fail(m, "more than one kind of credentials", "keep one of profile, access_key_id with its secret, and iot")
	case (secret || token) && !id:
		c.fail(m, "access_key_id is missing", "it belongs to the secret")
	case (id || token) && !secret:
		c.fail(m, "secret_access_key is missing", "write secret_access_key_file: FILE")
	}
	for key, val := range map[string]string{"profile": cr.Profile, "secret_access_key": string(cr.SecretAccessKey),
		"session_token": string(cr.SessionToken)} {
		if m.has(key) && !m.at(key).bad && val == "" {
			c.fail(m.at(key), "no value", "leave it out, or give it one")
		}
	}
	if cr.IoT != nil {
		c.iot(m.at("iot"), cr.IoT)
	}
}

// iot checks the IoT credentials provider's address and files.
func (c *checker) iot(m *mark, t *IoT) {
	if em := m.at("endpoint"); m.has("endpoint") && !em.bad {
		const hint = "the host name that aws iot describe-endpoint --endpoint-type iot:CredentialProvider prints"
		raw := t.Endpoint
		if !strings.Contains(raw, "://") {
			raw = "https://" + raw
		}
		u, ok := c.httpURL(em, raw, hint)
		switch {
		case ok && u.Scheme != "https":
			c.fail(em, "not https", hint)
		case ok:
			t.Endpoint = u.Host
		}
	}
	c.certificates(m.at("certificate"), &t.Certificate)
	c.privateKey(m.at("private_key"), &t.PrivateKey)
	c.certificates(m.at("ca_file"), &t.CAFile)
}

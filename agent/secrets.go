package agent

import (
	"os"
	"strings"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/kvsagent/kvsagent/media/pipe"
)

// hideSecrets has the secrets of a config, and those that come from the environment, blanked wherever they would be
// shown.
func hideSecrets(cfg *config.Config) {
	for _, c := range cfg.Sources {
		hideSource(c)
	}
	k := cfg.AWS.Credentials
	if key := string(k.SecretAccessKey); key != k.AccessKeyID { // as for localkvs, which has no secrets
		redact.Know(key)
	}
	redact.Know(string(k.SessionToken), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN"))
	redact.KnowURL(cfg.AWS.Endpoint)
	redact.KnowURL(string(cfg.WebRTC.Proxy))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		redact.KnowURL(os.Getenv(name))
		redact.KnowURL(os.Getenv(strings.ToLower(name)))
	}
	for _, hash := range cfg.Status.Users {
		redact.Know(string(hash))
	}
}

// hideSource does so for one source.
func hideSource(c config.Source) {
	redact.Know(string(c.Password))
	for _, raw := range []string{c.URL, c.Sub, c.ONVIF} {
		redact.KnowURL(raw)
		if command, ok := strings.CutPrefix(raw, "exec:"); ok {
			words, err := pipe.Split(command)
			if err != nil {
				words = strings.Fields(command)
			}
			redact.KnowArguments(words...)
		}
	}
	redact.KnowArguments(c.Args...)
	for name, value := range c.Env {
		redact.KnowVariable(name, value)
	}
}

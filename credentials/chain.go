package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go/logging"
)

// chain is the AWS default chain. It is built anew for each fetch, because the SDK reads the shared files only when it
// is built.
type chain struct {
	profile, region string
	http            aws.HTTPClient
	log             *slog.Logger
}

func (c *chain) fetch(ctx context.Context) (aws.Credentials, error) {
	opts := []func(*config.LoadOptions) error{
		config.WithRegion(c.region),
		config.WithLogger(logging.LoggerFunc(c.says)),
		// The SDK does not kill the process when ctx ends.
		config.WithProcessCredentialOptions(func(o *processcreds.Options) { o.Timeout = fetchLimit }),
		// One attempt, since the caller will ask again. Three attempts at a metadata service that a camera does not
		// have would take seconds.
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if c.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(c.profile))
	}
	if c.http != nil {
		opts = append(opts, config.WithHTTPClient(c.http))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Credentials{}, c.explain(err, "")
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, c.explain(err, login(cfg))
	}
	return keys, nil
}

// says takes the SDK's own lines, which would otherwise go to standard error as they are. What matters to the operator
// comes back as an error.
func (c *chain) says(_ logging.Classification, format string, args ...any) {
	c.log.Debug("AWS SDK", "says", fmt.Sprintf(format, args...))
}

// login returns the profile whose keys come from a login at IAM Identity Center, or "".
func login(cfg aws.Config) string {
	for _, source := range cfg.ConfigSources {
		shared, ok := source.(config.SharedConfig)
		if !ok {
			continue
		}
		for p := &shared; p != nil; p = p.Source { // a role may be assumed with the keys of another profile
			if p.SSOSession != nil || p.SSOStartURL != "" {
				return p.Profile
			}
		}
	}
	return ""
}

// explain returns where keys were looked for. login is the profile of a login that may have ended.
func (c *chain) explain(err error, login string) error {
	var profile config.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &profile):
		return fmt.Errorf("no profile %q in the shared AWS files; hint: aws configure list-profiles, and mind whose "+
			"home directory this is", profile.Profile)
	case login != "":
		return fmt.Errorf("profile %q: %s; hint: the login has ended, or there was none for this user: aws sso login "+
			"--profile %s", login, oneLine(err), login)
	case c.profile != "":
		return fmt.Errorf("profile %q: %s", c.profile, oneLine(err))
	}
	return fmt.Errorf("nothing found in environment, shared files, container and instance role (%s); hint: set "+
		"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or an IoT certificate",
		oneLine(err))
}

// oneLine keeps the end of a long error, where the SDK gives the reason.
func oneLine(err error) string {
	const most = 200
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > most {
		s = "..." + s[len(s)-most:]
	}
	return s
}

// Package credentials is where AWS keys come from and when they end.
//
// There are three kinds: the AWS default chain, an access key (its secret in the config or in a file), and an AWS IoT
// certificate that is exchanged for keys of an hour. All of them are fetched when they are first asked for, fetched
// again at about 80 % of their life while the old ones still serve, and never ended by a source that fails for a while
// or a file that is being written.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Options say where to look. The zero value is the AWS default chain: environment, shared files with profiles, SSO and
// credential_process, container and Greengrass endpoints, instance metadata. At most one of Profile, AccessKeyID and
// IoT may be given.
type Options struct {
	Profile string // of the shared AWS files; "" is AWS_PROFILE or default

	// An access key. Secret and token can come from files, which are read again whenever keys are asked for. A relative
	// name is looked for in $CREDENTIALS_DIRECTORY (systemd LoadCredential=) first.
	AccessKeyID         string
	SecretAccessKey     string
	SessionToken        string
	SecretAccessKeyFile string
	SessionTokenFile    string

	// IoT is a device certificate. nil takes it from the environment (AWS_IOT_CORE_CREDENTIAL_ENDPOINT and the others,
	// with the C SDK's names) when that has one and no other kind is given.
	IoT *IoT

	Log *slog.Logger // says when keys cannot be refreshed and the old ones still serve; nil means no log
}

// New returns the provider that o describes. It reads no file and calls nobody: that happens when keys are asked for,
// each time with an error that says what, where and a hint, so that what is missing today may be there tomorrow. Asking
// takes five seconds at most. The default chain takes region for the calls it makes, and httpClient to make them with;
// nil is the SDK's own, which honours AWS_CA_BUNDLE (give an *awshttp.BuildableClient if any: the SDK refuses others
// when AWS_CA_BUNDLE is set).
//
// The provider has a method Invalidate, which makes the next Retrieve fetch: call it when the service did not take the
// keys.
func New(_ context.Context, o Options, region string, httpClient aws.HTTPClient) (aws.CredentialsProvider, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	kinds := 0
	for _, given := range []bool{o.Profile != "", o.static(), o.IoT != nil} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return nil, errors.New("credentials: more than one kind; hint: keep one of profile, access key and IoT " +
			"certificate")
	case o.static():
		s, err := newStatic(o)
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		return newCache(s.fetch, log), nil
	case o.IoT == nil && kinds == 0:
		o.IoT = iotFromEnv(os.Getenv)
	}
	if o.IoT != nil {
		if err := o.IoT.check(); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		return newCache(o.IoT.fetch, log), nil
	}
	return newCache((&chain{profile: o.Profile, region: region, http: httpClient}).fetch, log), nil
}

func (o Options) static() bool {
	return o.AccessKeyID != "" || o.SecretAccessKey != "" || o.SecretAccessKeyFile != "" || o.SessionToken != "" ||
		o.SessionTokenFile != ""
}

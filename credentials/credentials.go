// Package credentials provides AWS keys and renews them.
//
// There are three kinds: the AWS default chain, an access key (its secret in the config or in a file), and an AWS IoT
// certificate that is exchanged for keys valid for an hour. All are fetched when they are first needed, and fetched
// again at about 80 % of their lifetime while the old ones are still valid. A source that fails for a while, or a file
// that is being written, does not invalidate keys in use.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Options says where to look. The zero value is the AWS default chain: environment, shared files with profiles, SSO and
// credential_process, container and Greengrass endpoints, instance metadata. At most one of Profile, AccessKeyID and
// IoT may be set.
type Options struct {
	Profile string // of the shared AWS files; "" means AWS_PROFILE or default

	// An access key. The secret and token can come from files, which are read again each time keys are needed. A
	// relative name is looked for in $CREDENTIALS_DIRECTORY (systemd LoadCredential=) first.
	AccessKeyID         string
	SecretAccessKey     string
	SessionToken        string
	SecretAccessKeyFile string
	SessionTokenFile    string

	// IoT is a device certificate. If it is nil and no other kind is set, it comes from the environment
	// (AWS_IOT_CORE_CREDENTIAL_ENDPOINT and the others, with the C SDK's names).
	IoT *IoT

	Log *slog.Logger // gets a line when keys cannot be refreshed; nil discards
}

// New returns the provider that o describes. It reads no file and makes no call. That happens each time keys are
// needed, so that what is missing today may be there tomorrow; an error then says what, where and a hint. Getting keys
// takes at most five seconds. The default chain uses region and httpClient for its calls; nil is the SDK's own client,
// which honours AWS_CA_BUNDLE (any other should be an *awshttp.BuildableClient: the SDK refuses others when
// AWS_CA_BUNDLE is set).
//
// The provider has a method Invalidate, which makes the next Retrieve fetch. Call it when the service refuses the keys.
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
	return newCache((&chain{profile: o.Profile, region: region, http: httpClient, log: log}).fetch, log), nil
}

func (o Options) static() bool {
	return o.AccessKeyID != "" || o.SecretAccessKey != "" || o.SecretAccessKeyFile != "" || o.SessionToken != "" ||
		o.SessionTokenFile != ""
}

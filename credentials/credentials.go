// Package credentials is where AWS keys come from and when they end.
package credentials

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Options say where to look. The zero value is the AWS default chain: environment, shared files with profiles, SSO and
// credential_process, container and Greengrass endpoints, instance metadata.
type Options struct {
	Profile string // of the shared AWS files; "" is AWS_PROFILE or default

	// Static keys. The secret and the token can come from files, which are read again before each use when they have changed.
	AccessKeyID         string
	SecretAccessKey     string
	SessionToken        string
	SecretAccessKeyFile string
	SessionTokenFile    string
}

// New returns the provider that o describes. The default chain takes region for the calls it has to make, and httpClient to make them
// with; nil is the SDK's own, which honours AWS_CA_BUNDLE.
func New(ctx context.Context, o Options, region string, httpClient aws.HTTPClient) (aws.CredentialsProvider, error) {
	return nil, errors.New("credentials: not built yet")
}

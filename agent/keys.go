package agent

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/credentials"
)

// newKeys translates the operator's credentials block.
func newKeys(ctx context.Context, c config.AWS) (aws.CredentialsProvider, error) {
	k := c.Credentials
	return credentials.New(ctx, credentials.Options{
		Profile:             k.Profile,
		AccessKeyID:         k.AccessKeyID,
		SecretAccessKey:     string(k.SecretAccessKey),
		SecretAccessKeyFile: k.SecretAccessKeyFile,
		SessionToken:        string(k.SessionToken),
		SessionTokenFile:    k.SessionTokenFile,
	}, c.Region, nil)
}

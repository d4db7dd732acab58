package agent

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/credentials"
)

// newAWSKeys translates the operator's credentials block.
func newAWSKeys(ctx context.Context, c config.AWS, log *slog.Logger) (credentials.Provider, error) {
	k := c.Credentials
	o := credentials.Options{
		Profile:             k.Profile,
		AccessKeyID:         k.AccessKeyID,
		SecretAccessKey:     string(k.SecretAccessKey),
		SecretAccessKeyFile: k.SecretAccessKeyFile,
		SessionToken:        string(k.SessionToken),
		SessionTokenFile:    k.SessionTokenFile,
		Log:                 log,
	}
	// The credentials package reads a file again each time keys are needed, so that they can be rotated under a running
	// agent. The copy that the config read would be stale by then.
	if o.SecretAccessKeyFile != "" {
		o.SecretAccessKey = ""
	}
	if o.SessionTokenFile != "" {
		o.SessionToken = ""
	}
	if i := k.IoT; i != nil {
		o.IoT = &credentials.IoT{
			Endpoint: i.Endpoint, RoleAlias: i.RoleAlias, ThingName: i.ThingName,
			CertificateFile: i.Certificate, PrivateKeyFile: i.PrivateKey, CAFile: i.CAFile,
		}
	}
	return credentials.New(ctx, o, c.Region, nil)
}

// sameKeys says whether two configs get their keys in the same way. Secrets from files count by their contents.
func sameKeys(a, b config.AWS) bool {
	return a.Region == b.Region && reflect.DeepEqual(a.Credentials, b.Credentials)
}

package credentials

import "github.com/aws/aws-sdk-go-v2/aws"

// Provider gives AWS keys when they are asked for. It is the SDK's own type, named here for rooms that only pass it on.
type Provider = aws.CredentialsProvider

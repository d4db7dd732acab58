package credentials

import "github.com/aws/aws-sdk-go-v2/aws"

// Provider returns AWS keys. It is the SDK's own type, named here for rooms that only pass it on.
type Provider = aws.CredentialsProvider

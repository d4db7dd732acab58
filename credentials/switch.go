package credentials

import (
	"context"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Switch is a Provider whose keys may come from elsewhere from one request to the next: who signs with it need not be
// made anew. Set must come before the first Retrieve.
type Switch struct {
	from atomic.Pointer[Provider]
}

// Set says where the keys come from now.
func (s *Switch) Set(p Provider) { s.from.Store(&p) }

// Invalidate makes the next Retrieve fetch new keys.
func (s *Switch) Invalidate() {
	if p := s.from.Load(); p != nil {
		if cache, ok := (*p).(interface{ Invalidate() }); ok {
			cache.Invalidate()
		}
	}
}

// Retrieve implements Provider.
func (s *Switch) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return (*s.from.Load()).Retrieve(ctx)
}

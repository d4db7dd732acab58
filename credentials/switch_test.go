package credentials

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// TestSwitchPassesDoubtOn: when the service refuses the keys, those behind the switch are fetched anew at once.
func TestSwitchPassesDoubtOn(t *testing.T) {
	fetched := 0
	c := newCache(func(context.Context) (aws.Credentials, error) {
		fetched++
		return aws.Credentials{AccessKeyID: "A", SecretAccessKey: "s"}, nil
	}, slog.New(slog.DiscardHandler))
	var s Switch
	s.Invalidate() // of nothing
	s.Set(c)
	for range 2 {
		for range 2 {
			if _, err := s.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.Invalidate()
	}
	if fetched != 2 {
		t.Errorf("keys were fetched %d times, want once before and once after the service's no", fetched)
	}
}

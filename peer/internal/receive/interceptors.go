package receive

import (
	"fmt"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
)

// Interceptors is what Pion does for tracks that we receive: it asks for lost packets, reports on what came, and, when
// media was asked for, on each packet. For tracks that we send it does nothing: a copy of every packet for every viewer
// is most of the memory of a fan-out, and a fifth of its time. fanout.Track does it from what all viewers share.
func Interceptors(media bool) (*interceptor.Registry, error) {
	r := &interceptor.Registry{}
	again, err := nack.NewGeneratorInterceptor()
	if err != nil {
		return nil, fmt.Errorf("nack: %w", err)
	}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, fmt.Errorf("receiver reports: %w", err)
	}
	r.Add(rtxNACK{again})
	r.Add(reports)
	if media {
		each, err := twcc.NewSenderInterceptor()
		if err != nil {
			return nil, fmt.Errorf("transport-wide feedback: %w", err)
		}
		r.Add(each)
	}
	return r, nil
}

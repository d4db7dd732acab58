package localkvs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

const (
	roleMaster = "MASTER"
	roleViewer = "VIEWER"

	maxBody = 128 << 10 // bytes of a call's JSON
)

// call is one request of the control plane, its signature already checked.
type call struct {
	*http.Request
	service context.Context // done when the service is; for what outlives the call
	op      operation
	region  string
	now     time.Time
	body    []byte
}

// operation is one call of the service.
type operation struct {
	name   string
	rate   *rate.Limiter // calls of the account
	each   float64       // calls per second for one channel
	handle func(*call) (any, *apiError)
}

// operations returns the calls by path. (Service models kinesisvideo 2017-09-30, kinesis-video-signaling 2019-12-04 and
// kinesis-video-webrtc-storage 2018-05-10; rates from the KVS dev guide, "Quotas".)
func (s *Server) operations() map[string]operation {
	ops := map[string]operation{}
	add := func(path, name string, perSecond float64, handle func(*call) (any, *apiError)) {
		if s.opts.Limits.AccountCalls != 0 {
			perSecond = s.opts.Limits.AccountCalls
		}
		each := s.opts.Limits.ChannelCalls
		if strings.HasPrefix(name, "JoinStorageSession") {
			each = s.opts.Limits.StorageJoins
		}
		ops[path] = operation{name, newLimiter(perSecond), each, handle}
	}
	add("/createSignalingChannel", "CreateSignalingChannel", 50, reads(s.createChannel))
	add("/describeSignalingChannel", "DescribeSignalingChannel", 300, reads(s.describeChannel))
	add("/updateSignalingChannel", "UpdateSignalingChannel", 50, reads(s.updateChannel))
	add("/deleteSignalingChannel", "DeleteSignalingChannel", 50, reads(s.deleteChannel))
	add("/listSignalingChannels", "ListSignalingChannels", 50, reads(s.listChannels))
	add("/getSignalingChannelEndpoint", "GetSignalingChannelEndpoint", 300, reads(s.getEndpoint))
	add("/describeMediaStorageConfiguration", "DescribeMediaStorageConfiguration", 50, reads(s.describeStorage))
	add("/updateMediaStorageConfiguration", "UpdateMediaStorageConfiguration", 10, reads(s.updateStorage))
	add("/TagResource", "TagResource", 50, reads(s.tagResource))
	add("/UntagResource", "UntagResource", 50, reads(s.untagResource))
	add("/ListTagsForResource", "ListTagsForResource", 50, reads(s.listTags))
	add("/v1/get-ice-server-config", "GetIceServerConfig", 100, reads(s.getICEServers))
	add("/v1/send-alexa-offer-to-master", "SendAlexaOfferToMaster", 100, reads(s.sendAlexaOffer))
	add("/joinStorageSession", "JoinStorageSession", 50, reads(s.joinStorage))
	add("/joinStorageSessionAsViewer", "JoinStorageSessionAsViewer", 50, reads(s.joinStorageAsViewer))
	return ops
}

// reads makes a handler of a function that takes its decoded JSON.
func reads[In any](f func(*call, In) (any, *apiError)) func(*call) (any, *apiError) {
	return func(c *call) (any, *apiError) {
		var in In
		if len(c.body) > 0 {
			if err := json.Unmarshal(c.body, &in); err != nil {
				return nil, badRequest("SerializationException", "the body is not the JSON of "+c.op.name)
			}
		}
		return f(c, in)
	}
}

// readBody reads a call's body, up to a limit.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	http.NewResponseController(w).SetReadDeadline(time.Time{}) // the answer may take longer than the request
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"the body is too large"}
	}
	if err != nil {
		return nil, badRequest("SerializationException", "the body could not be read")
	}
	return body, nil
}

// serveCall answers one call of the control plane or of a channel's HTTPS endpoint.
func (s *Server) serveCall(ctx context.Context, w http.ResponseWriter, r *http.Request, op operation) (any, *apiError) {
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	sc, err := s.authenticate(r, body)
	if err != nil {
		return nil, err
	}
	if r.Method != http.MethodPost {
		return nil, &apiError{http.StatusMethodNotAllowed, "UnsupportedOperationException", "calls are made with POST"}
	}
	if !op.rate.Allow() {
		return nil, limitExceeded("too many calls of %s for the account", op.name)
	}
	if s.opts.Limits.ActiveAfter > 0 {
		s.sweep(s.now())
	}
	return op.handle(&call{Request: r, service: ctx, op: op, region: sc.region, now: s.now(), body: body})
}

// lookup finds the channel of a call, by ARN or else by name, and counts the call against the channel's rate.
func (s *Server) lookup(c *call, arn, name string) (*channel, *apiError) {
	var ch *channel
	switch {
	case arn != "":
		if !isARN(arn) {
			return nil, invalidArgument("channelARN %.80q is not the ARN of a channel", arn)
		}
		ch = s.channels.find(arn)
	case name != "":
		if !isID(name) {
			return nil, invalidArgument("channelName must match [a-zA-Z0-9_.-]{1,256}")
		}
		ch = s.channels.named(c.region, name)
	default:
		return nil, invalidArgument("a channel name or a channel ARN is required")
	}
	if ch == nil || ch.region != c.region {
		return nil, notFound("channel")
	}
	if !ch.allow(c.op.name, c.op.each) {
		return nil, limitExceeded("too many calls of %s for channel %s", c.op.name, ch.name)
	}
	return ch, nil
}

// byARN is lookup for calls that take no name.
func (s *Server) byARN(c *call, arn string) (*channel, *apiError) {
	if arn == "" {
		return nil, invalidArgument("the ARN of the channel is required")
	}
	return s.lookup(c, arn, "")
}

package localkvs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

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
	service context.Context // done when the service is; what outlives the call lives by it
	op      operation
	region  string
	now     time.Time
	body    []byte
}

// operation is one call of the service.
type operation struct {
	name   string
	rate   *rate.Limiter // calls of the account
	handle func(*call) (any, *apiError)
}

// operations are the calls by path. (Service models kinesisvideo 2017-09-30, kinesis-video-signaling 2019-12-04 and
// kinesis-video-webrtc-storage 2018-05-10; rates from the KVS dev guide, "Quotas".)
func (s *Server) operations() map[string]operation {
	ops := map[string]operation{}
	add := func(path, name string, perSecond float64, handle func(*call) (any, *apiError)) {
		if s.opts.Limits.AccountCalls != 0 {
			perSecond = s.opts.Limits.AccountCalls
		}
		ops[path] = operation{name, newLimiter(perSecond), handle}
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

// reads makes a handler of a function that takes its JSON decoded.
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

// readBody reads a call's body, which is bounded.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	http.NewResponseController(w).SetReadDeadline(time.Time{}) // the answer may take longer than the question
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "the body is too large"}
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
	return op.handle(&call{Request: r, service: ctx, op: op, region: sc.region, now: s.now(), body: body})
}

// lookup finds the channel a call is about, by its ARN or else its name, and counts the call against the channel's rate.
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
	if !ch.allow(c.op.name, s.opts.Limits.ChannelCalls) {
		return nil, limitExceeded("too many calls of %s for channel %s", c.op.name, ch.name)
	}
	return ch, nil
}

// byARN is lookup for the calls that take no name.
func (s *Server) byARN(c *call, arn string) (*channel, *apiError) {
	if arn == "" {
		return nil, invalidArgument("the ARN of the channel is required")
	}
	return s.lookup(c, arn, "")
}

type empty struct{}

type singleMasterInput struct{ MessageTtlSeconds *int }

// ttl is the wanted time in seconds, 0 when none is given.
func (m *singleMasterInput) ttl() (int, *apiError) {
	if m == nil || m.MessageTtlSeconds == nil {
		return 0, nil
	}
	if t := *m.MessageTtlSeconds; t < 5 || t > 120 {
		return 0, invalidArgument("messageTtlSeconds must be 5 to 120, not %d", t)
	}
	return *m.MessageTtlSeconds, nil
}

type createInput struct {
	ChannelName, ChannelType  string
	SingleMasterConfiguration *singleMasterInput
	Tags                      []tag
}

func (s *Server) createChannel(c *call, in createInput) (any, *apiError) {
	if !isID(in.ChannelName) {
		return nil, invalidArgument("channelName must match [a-zA-Z0-9_.-]{1,256}")
	}
	setDefault(&in.ChannelType, "SINGLE_MASTER")
	if in.ChannelType != "SINGLE_MASTER" && in.ChannelType != "FULL_MESH" {
		return nil, invalidArgument("channelType must be SINGLE_MASTER or FULL_MESH")
	}
	ttl, err := in.SingleMasterConfiguration.ttl()
	if err != nil {
		return nil, err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	ch := newChannel(c.region, in.ChannelName, in.ChannelType, ttl, tags, c.now)
	if err := s.channels.add(ch); err != nil {
		return nil, err
	}
	return struct{ ChannelARN string }{ch.arn}, nil
}

type channelInput struct{ ChannelName, ChannelARN string }

func (s *Server) describeChannel(c *call, in channelInput) (any, *apiError) {
	ch, err := s.lookup(c, in.ChannelARN, in.ChannelName)
	if err != nil {
		return nil, err
	}
	return struct{ ChannelInfo channelInfo }{ch.info(c.now, s.opts.Limits.ActiveAfter)}, nil
}

type changeInput struct {
	ChannelARN, CurrentVersion string
	SingleMasterConfiguration  *singleMasterInput
}

func (s *Server) updateChannel(c *call, in changeInput) (any, *apiError) {
	ttl, err := in.SingleMasterConfiguration.ttl()
	if err != nil {
		return nil, err
	}
	if !isVersion(in.CurrentVersion) {
		return nil, invalidArgument("currentVersion must match [a-zA-Z0-9]{1,64}")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	defer s.channels.touch()
	return empty{}, ch.change(in.CurrentVersion, func() {
		if ttl != 0 {
			ch.ttl = ttl // of messages to come
		}
	})
}

func (s *Server) deleteChannel(c *call, in changeInput) (any, *apiError) {
	if in.CurrentVersion != "" && !isVersion(in.CurrentVersion) {
		return nil, invalidArgument("currentVersion must match [a-zA-Z0-9]{1,64}")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	if err := ch.change(in.CurrentVersion, func() { ch.deleted = true }); err != nil {
		return nil, err
	}
	s.channels.remove(ch)
	ch.close()
	return empty{}, nil
}

type listInput struct {
	MaxResults           *int
	NextToken            string
	ChannelNameCondition *struct{ ComparisonOperator, ComparisonValue string }
}

func (s *Server) listChannels(c *call, in listInput) (any, *apiError) {
	n := 500
	if in.MaxResults != nil {
		n = *in.MaxResults
	}
	if n < 1 || n > 10000 {
		return nil, invalidArgument("maxResults must be 1 to 10000, not %d", n)
	}
	var prefix string
	if cond := in.ChannelNameCondition; cond != nil {
		if cond.ComparisonOperator != "BEGINS_WITH" || !isID(cond.ComparisonValue) {
			return nil, invalidArgument("channelNameCondition must be BEGINS_WITH and the beginning of a name")
		}
		prefix = cond.ComparisonValue
	}
	after, e := base64.StdEncoding.DecodeString(in.NextToken)
	if e != nil || len(in.NextToken) > 512 {
		return nil, invalidArgument("nextToken is not from an earlier answer")
	}
	page, more := s.channels.list(c.region, prefix, string(after), n)
	out := struct {
		ChannelInfoList []channelInfo
		NextToken       string `json:",omitempty"`
	}{ChannelInfoList: make([]channelInfo, len(page))}
	for i, ch := range page {
		out.ChannelInfoList[i] = ch.info(c.now, s.opts.Limits.ActiveAfter)
	}
	if more {
		out.NextToken = base64.StdEncoding.EncodeToString([]byte(page[len(page)-1].name))
	}
	return out, nil
}

func (s *Server) describeStorage(c *call, in channelInput) (any, *apiError) {
	ch, err := s.lookup(c, in.ChannelARN, in.ChannelName)
	if err != nil {
		return nil, err
	}
	return struct{ MediaStorageConfiguration storage }{ch.media()}, nil
}

func (s *Server) updateStorage(c *call, in struct {
	ChannelARN                string
	MediaStorageConfiguration *storage
}) (any, *apiError) {
	m := in.MediaStorageConfiguration
	switch {
	case m == nil || m.Status != "ENABLED" && m.Status != "DISABLED":
		return nil, invalidArgument("mediaStorageConfiguration.status must be ENABLED or DISABLED")
	case m.StreamARN != "" && !isARN(m.StreamARN):
		return nil, invalidArgument("streamARN %.80q is not the ARN of a stream", m.StreamARN)
	case m.StreamARN == "" && m.Status == "ENABLED":
		return nil, invalidArgument("streamARN is required to enable storage")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	if m.Status == "ENABLED" {
		for _, other := range s.channels.all() { // one stream stores one channel (KVS dev guide, WebRTC ingestion)
			if other != ch && other.media() == *m {
				return nil, inUse("the stream belongs to channel %s", other.name)
			}
		}
	}
	ch.setMedia(*m)
	s.channels.touch()
	return empty{}, nil
}

// tag is one tag in requests.
type tag struct{ Key, Value *string }

// tagMap checks tags and makes a map of them.
func tagMap(tags []tag) (map[string]string, *apiError) {
	if len(tags) > maxTags {
		return nil, tooManyTags()
	}
	m := map[string]string{}
	for _, t := range tags {
		switch {
		case t.Key == nil || *t.Key == "" || len([]rune(*t.Key)) > 128 || !isTagText(*t.Key):
			return nil, invalidArgument("a tag's key must have 1 to 128 letters, digits, spaces or _.:/=+-@")
		case t.Value == nil || len([]rune(*t.Value)) > 256 || !isTagText(*t.Value):
			return nil, invalidArgument("a tag's value must have at most 256 letters, digits, spaces or _.:/=+-@")
		}
		m[*t.Key] = *t.Value
	}
	return m, nil
}

func isTagText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
	})
}

func (s *Server) tagResource(c *call, in struct {
	ResourceARN string
	Tags        []tag
}) (any, *apiError) {
	if len(in.Tags) == 0 {
		return nil, invalidArgument("tags are required")
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	ch, err := s.byARN(c, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	defer s.channels.touch()
	return empty{}, ch.tag(tags)
}

func (s *Server) untagResource(c *call, in struct {
	ResourceARN string
	TagKeyList  []string
}) (any, *apiError) {
	if len(in.TagKeyList) == 0 || len(in.TagKeyList) > maxTags {
		return nil, invalidArgument("tagKeyList must have 1 to %d keys", maxTags)
	}
	ch, err := s.byARN(c, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	ch.untag(in.TagKeyList)
	s.channels.touch()
	return empty{}, nil
}

// listTags never needs a second page: a channel has at most 50 tags.
func (s *Server) listTags(c *call, in struct{ ResourceARN, NextToken string }) (any, *apiError) {
	ch, err := s.byARN(c, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return struct{ Tags map[string]string }{ch.allTags()}, nil
}

func isVersion(s string) bool { return s != "" && len(s) <= 64 && onlyOf(s, alphanumeric) }

// isARN checks arn:<partition>:kinesisvideo:<region>:<account>:<kind>/<name>/<creation time>.
func isARN(s string) bool {
	p := strings.SplitN(s, ":", 6)
	if len(s) > 1024 || len(p) != 6 || p[0] != "arn" || p[2] != "kinesisvideo" {
		return false
	}
	digits := func(s string) bool {
		return s != "" && onlyOf(s, func(c byte) bool { return '0' <= c && c <= '9' })
	}
	r := strings.Split(p[5], "/")
	return isRegion(p[1]) && isRegion(p[3]) && digits(p[4]) &&
		len(r) == 3 && slices.Contains([]string{"channel", "stream"}, r[0]) && isID(r[1]) && digits(r[2])
}

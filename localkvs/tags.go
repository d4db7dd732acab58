package localkvs

import (
	"fmt"
	"maps"
	"strings"
	"unicode"
)

const maxTags = 50 // on one channel

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

// tag adds tags, all or none.
func (c *channel) tag(tags map[string]string) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(c.tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	if len(all) > maxTags {
		return tooManyTags()
	}
	c.tags = all
	return nil
}

func tooManyTags() *apiError {
	return badRequest("TagsPerResourceExceededLimitException", fmt.Sprintf("a resource has at most %d tags", maxTags))
}

func (c *channel) untag(keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		delete(c.tags, k)
	}
}

func (c *channel) allTags() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.tags)
}

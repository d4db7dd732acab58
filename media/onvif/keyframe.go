package onvif

import (
	"context"
	"fmt"
	"html"
	"net/url"
)

// Stream is one stream of a camera, to be asked for key frames. One goroutine at a time uses it.
type Stream struct {
	client *client
	device *url.URL
	uri    *url.URL

	media *url.URL // nil until the camera was asked which of its streams this is
	token string
}

// NewStream makes one: address is the URL of the camera's device service, uri the stream's rtsp:// address. It asks
// nothing yet.
func NewStream(address string, login Login, uri string) (*Stream, error) {
	c, device, err := newClient(address, login)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(uri)
	if err != nil {
		return nil, fmt.Errorf("onvif: the stream's address is not a URL")
	}
	return &Stream{client: c, device: device, uri: u}, nil
}

// RequestKeyFrame asks the camera for a key frame now (ONVIF Media Service Specification, SetSynchronizationPoint).
// ErrUnsupported is a camera that makes none.
func (s *Stream) RequestKeyFrame(ctx context.Context) error {
	if err := s.find(ctx); err != nil {
		return fmt.Errorf("onvif %s: %w", s.device.Host, err)
	}
	var answer struct{}
	body := `<SetSynchronizationPoint xmlns="http://www.onvif.org/ver10/media/wsdl"><ProfileToken>` +
		html.EscapeString(s.token) + `</ProfileToken></SetSynchronizationPoint>`
	if err := s.client.call(ctx, s.media, body, &answer); err != nil {
		return fmt.Errorf("onvif %s: key frame: %w", s.device.Host, err)
	}
	return nil
}

// find asks once which profile the stream is. Ports and hosts may differ, where a camera stands behind a NAT; paths do
// not.
func (s *Stream) find(ctx context.Context) error {
	if s.media != nil {
		return nil
	}
	profiles, err := s.client.profiles(ctx, s.device)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		u, err := url.Parse(p.URI)
		if err != nil || u.RequestURI() != s.uri.RequestURI() {
			continue
		}
		media, err := s.client.mediaService(ctx, s.device)
		if err != nil {
			return err
		}
		s.media, s.token = media, p.Token
		return nil
	}
	return fmt.Errorf("%w: no profile has the stream %s; hint: kvsagent sources discover shows those there are",
		ErrUnsupported, s.uri.Path)
}

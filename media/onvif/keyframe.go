package onvif

import (
	"context"
	"fmt"
	"html"
	"net/url"
)

// Stream is one stream of a camera that can be asked for key frames. It is used by one goroutine at a time.
type Stream struct {
	client *client
	device *url.URL
	uri    *url.URL

	media *url.URL // nil until the camera was asked for its profiles
	token string
}

// NewStream returns a stream. address is the URL of the camera's device service, uri the stream's rtsp:// URL. It makes
// no request yet.
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

// RequestKeyFrame asks the camera for a key frame now (ONVIF Media Service Specification, SetSynchronizationPoint). It
// returns ErrUnsupported when the camera cannot.
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

// find asks once for the profile of the stream. Ports and hosts may differ when a camera is behind a NAT; paths do not.
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

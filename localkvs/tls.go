package localkvs

import "path/filepath"

// CAFile is the path of the certificate that clients must trust, or "" when TLS is off.
func (s *Server) CAFile() string {
	if s.tls == nil {
		return ""
	}
	return filepath.Join(s.opts.TLSDir, "ca.pem")
}

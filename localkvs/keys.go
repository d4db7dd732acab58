package localkvs

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// keyring knows the secret of every access key: the configured one, and the temporary ones that the credential endpoint
// issued. Temporary keys are derived, not stored, so that they outlive a restart.
type keyring struct {
	access, secret string
	now            func() time.Time
}

// temporary is a set of temporary AWS keys.
type temporary struct {
	access, secret, token string
	expires               time.Time
}

// issue makes temporary keys for a holder. The holder's name is only used to derive the access key.
func (k keyring) issue(holder string, expires time.Time) temporary {
	until := strconv.FormatInt(expires.Unix(), 10)
	id := strings.ToUpper(hex.EncodeToString(mac([]byte(k.secret), "id\n"+holder+"\n"+until))[:16])
	access := "ASIA" + id
	return temporary{
		access:  access,
		secret:  k.derive("secret", access, until),
		token:   until + "/" + k.derive("token", access, until),
		expires: expires,
	}
}

// lookup returns the secret of an access key, or the service's error for a key or token that it does not accept. A
// token with the configured key is tolerated.
func (k keyring) lookup(access, token string) (string, *apiError) {
	if access == k.access {
		return k.secret, nil
	}
	until, proof, _ := strings.Cut(token, "/")
	unix, err := strconv.ParseInt(until, 10, 64)
	if err != nil || proof != k.derive("token", access, until) {
		return "", forbidden("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	if !k.now().Before(time.Unix(unix, 0)) {
		return "", expiredToken()
	}
	return k.derive("secret", access, until), nil
}

func (k keyring) derive(what, access, until string) string {
	return base64.StdEncoding.EncodeToString(mac([]byte(k.secret), what+"\n"+access+"\n"+until))
}

func expiredToken() *apiError {
	return forbidden("ExpiredTokenException", "The security token included in the request is expired")
}

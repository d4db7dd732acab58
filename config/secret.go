package config

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden stands wherever a secret would be shown.
const hidden = "[hidden]"

// Secret is a password, key or token. Printing, logging and encoding show that there is one, not what it is; string(s)
// is the value.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format hides the secret from the verbs of fmt, wrong ones too; only %p gets past it, which go vet refuses.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue hides the secret from log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoding/json, gopkg.in/yaml.v3 and every other encoder of texts.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

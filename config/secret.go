package config

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden replaces a secret wherever it would be shown.
const hidden = "[hidden]"

// Secret is a password, key or token. Printing, logging and encoding show that it is set, not its value; string(s) is
// the value.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format hides the secret from the verbs of fmt, wrong ones too. Only %p gets past it, which go vet rejects.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue hides the secret from log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoding/json, gopkg.in/yaml.v3 and every other text encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

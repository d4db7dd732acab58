package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/kvsagent/kvsagent/internal/redact"
)

// inline notes a secret that is written in the file itself. What comes from the environment is not.
func (d *decoder) inline(m *mark, v reflect.Value) {
	text, err := expand(m.text, func(string) (string, bool) { return "", true })
	if err != nil || text == "" {
		return
	}
	secret := redact.Holds(text)
	if _, ok := v.Interface().(Secret); ok {
		secret = secret || !strings.HasSuffix(m.key, ".proxy") // which may be a URL without a password
	}
	if i := strings.LastIndex(m.key, ".env."); i >= 0 {
		secret = secret || redact.Names(m.key[i+len(".env."):])
	}
	if secret {
		d.secrets = append(d.secrets, m)
	}
}

// readable is the warning about a file with secrets that every user of this host can read.
func (d *decoder) readable() string {
	first := d.secrets[0]
	for _, m := range d.secrets {
		if m.line < first.line {
			first = m
		}
	}
	more := ""
	if n := len(d.secrets) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return fmt.Sprintf("%s:%d: every user of this host can read the secret in %s%s; hint: chmod o-rwx %s, or keep "+
		"secrets in files of their own (password_file)", d.file, first.line, first.key, more, d.file)
}

package config

import (
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces variables in a scalar that YAML has already parsed, so that no value can change the file's structure.
//
//	${VAR}          the variable; a mistake when it is not set
//	${VAR:default}  the variable, or the default when it is unset or empty
//	$$              a dollar
//
// Any other dollar stands for itself. The values of variables never appear in the error.
func expand(s string, env func(string) (string, bool)) (string, *Error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			s = s[i+2:]
		case '{':
			body, rest, ok := strings.Cut(s[i+2:], "}")
			name, def, hasDef := strings.Cut(body, ":")
			if !ok || !variable.MatchString(name) {
				return "", &Error{What: "bad ${}", Hint: "${VAR} or ${VAR:default}, and $$ for a dollar"}
			}
			val, set := env(name)
			switch {
			case hasDef && val == "":
				val = def
			case !set:
				return "", &Error{What: "environment variable " + name + " is not set",
					Hint: "set it, or write ${" + name + ":default}"}
			}
			b.WriteString(val)
			s = rest
		default:
			b.WriteByte('$')
			s = s[i+1:]
		}
	}
}

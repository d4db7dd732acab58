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
// Any other dollar stands for itself. The values of variables never appear in the error. A value in a command (exec:)
// stays what it was in the command line, one word or a part of one, whatever it contains.
func expand(s string, env func(string) (string, bool)) (string, *Error) {
	var b strings.Builder
	command := strings.HasPrefix(s, "exec:")
	var quotes quoting
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		quotes.read(s[:i])
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
			if command {
				val = quotes.escape(val)
			}
			b.WriteString(val)
			s = rest
		default:
			b.WriteByte('$')
			s = s[i+1:]
		}
	}
}

// quoting is where in a command line one is: 0, or in quotes of this kind.
type quoting byte

// read goes on over a part of the line as it was written.
func (q *quoting) read(text string) {
	for i := 0; i < len(text); i++ {
		switch c := quoting(text[i]); {
		case c == '\\' && *q != '\'':
			i++
		case *q == 0 && (c == '\'' || c == '"'):
			*q = c
		case c == *q:
			*q = 0
		}
	}
}

// escape makes a value mean itself here, for the words that media/pipe reads.
func (q *quoting) escape(val string) string {
	switch *q {
	case '\'':
		return strings.ReplaceAll(val, "'", `'\''`)
	case '"':
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(val)
	}
	if val == "" {
		return val
	}
	var b strings.Builder
	for _, r := range val {
		if !plainRune(r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func plainRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:=,@%+", r)
}

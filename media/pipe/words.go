package pipe

import (
	"errors"
	"fmt"
	"strings"
)

// Split splits a command line into words like a shell, without being one: blanks separate words, '...' and "..." group
// them, a backslash takes the next character literally. Anything that needs a shell is an error.
func Split(line string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inside bool // a word has begun
		plain  = true
	)
	end := func() error {
		if !inside {
			return nil
		}
		w := word.String()
		if plain && operator(w) {
			return fmt.Errorf("there is no shell, so %s does nothing; hint: quote it, or write sh -c '...'", w)
		}
		words = append(words, w)
		word.Reset()
		inside, plain = false, true
		return nil
	}
	rest := []rune(line)
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case ' ', '\t', '\n', '\r':
			if err := end(); err != nil {
				return nil, err
			}
		case '\\':
			if i++; i == len(rest) {
				return nil, errors.New("a backslash at the end")
			}
			word.WriteRune(rest[i])
			inside, plain = true, false
		case '\'', '"':
			n, err := quoted(rest[i:], &word)
			if err != nil {
				return nil, err
			}
			i += n
			inside, plain = true, false
		default:
			word.WriteRune(c)
			inside = true
		}
	}
	return words, end()
}

// quoted writes the text between quotes, and returns the index of the closing one in s.
func quoted(s []rune, word *strings.Builder) (int, error) {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return i, nil
		case s[i] == '\\' && s[0] == '"' && i+1 < len(s) && strings.ContainsRune("\"\\$`", s[i+1]):
			i++
		}
		word.WriteRune(s[i])
	}
	return 0, fmt.Errorf("unclosed quote %c", s[0])
}

// operator reports whether an unquoted word is a shell operator: a pipe, a redirection, a command separator.
func operator(w string) bool {
	switch w {
	case "|", "||", "&&", "&", ";", "<", ">", ">>", "2>", "2>&1":
		return true
	}
	return strings.HasPrefix(w, ">/") || strings.HasPrefix(w, "2>")
}

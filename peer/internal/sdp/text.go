package sdp

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkText refuses what ends or hides text for one reader and not for another: control characters, the line ends of
// Unicode, and what is not UTF-8. Pion ends a line at a carriage return. It also says whether the line is of ASCII
// alone.
func checkText(line string) (ascii bool, err error) {
	ascii = true
	for i := 0; i < len(line); i++ {
		if b := line[i]; b < ' ' || b == 0x7f {
			return false, fmt.Errorf("has the control character %U", b)
		} else if b >= utf8.RuneSelf {
			ascii = false
		}
	}
	if ascii {
		return true, nil
	}
	if !utf8.ValidString(line) {
		return false, fmt.Errorf("is not UTF-8")
	}
	for _, r := range line {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return false, fmt.Errorf("has the control character %U", r)
		}
	}
	return false, nil
}

// printable says whether text has no character that is not to be seen, other than the space of ASCII.
func printable(text string) bool {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// words splits text at its spaces, at those of ASCII alone, into at most n words and a rest; -1 is all.
func words(text string, n int) []string {
	out := make([]string, 0, 8)
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		end := strings.IndexByte(text, ' ')
		if end < 0 || len(out) == n-1 {
			end = len(text)
		}
		out = append(out, text[:end])
		text = text[end:]
	}
	return out
}

// notToken are the characters of ASCII that a token has not (RFC 8866 section 9).
const notToken = `"(),/:;<=>?@[\]`

var tokenChars = func() (chars [256]bool) {
	for b := '!'; b <= '~'; b++ {
		chars[b] = !strings.ContainsRune(notToken, b)
	}
	return chars
}()

func token(text string) bool {
	for i := 0; i < len(text); i++ {
		if !tokenChars[text[i]] {
			return false
		}
	}
	return text != ""
}

// CheckICEChars holds RFC 8839 section 5.4: atLeast to 256 ice-chars, where a ufrag has at least 4 and a password 22.
func CheckICEChars(s string, atLeast int) error {
	if len(s) < atLeast || len(s) > 256 {
		return fmt.Errorf("has %d characters; %d to 256 are allowed", len(s), atLeast)
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '+', r == '/':
		case r == '-', r == '_': // not in the RFC, but seen from real clients and harmless
		default:
			return fmt.Errorf("has the character %q", r)
		}
	}
	return nil
}

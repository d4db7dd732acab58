// Package sdp reads what a remote wrote, judges it and writes it anew: text in, text out, without a connection. Parse
// is the only reader of session descriptions and ParseCandidate of candidates. Nothing of a remote's text reaches Pion
// but what Marshal and String write from the parsed form, so there is no second reader that could see something else.
package sdp

package config

import (
	"slices"
	"strconv"
	"strings"
)

// maxShown limits how much of the file a message repeats, in characters.
const maxShown = 60

// quote shows what was written, cut to a readable length, with control characters escaped.
func quote(s string) string {
	if r := []rune(s); len(r) > maxShown {
		s = string(r[:maxShown]) + "…"
	}
	return strconv.Quote(s)
}

// printable returns s itself when it is a harmless word, and quotes it otherwise.
func printable(s string) string {
	if q := quote(s); q != `"`+s+`"` || strings.ContainsAny(s, " :;") || s == "" {
		return q
	}
	return s
}

// listed returns a sorted list of names, at most ten.
func listed(names []string) string {
	names = slices.Sorted(slices.Values(names))
	if len(names) == 0 {
		return "none"
	}
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// either lists choices: a, b or c.
func either(choices []string) string {
	last := len(choices) - 1
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}

// nearest returns the name that somebody who wrote s probably meant, or "".
func nearest(s string, names []string) string {
	if len(s) > maxShown || len(names) > 100 {
		return ""
	}
	best, at := "", 1+max(1, len(s)/3)
	for _, n := range slices.Sorted(slices.Values(names)) {
		if dist := distance(s, n); dist < at {
			best, at = n, dist
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to turn a into b (optimal string
// alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

package localkvs

import (
	"slices"
	"strings"
)

// isVersion reports whether s may be the version of a channel.
func isVersion(s string) bool { return s != "" && len(s) <= 64 && onlyOf(s, alphanumeric) }

// isARN checks arn:<partition>:kinesisvideo:<region>:<account>:<kind>/<name>/<creation time>.
func isARN(s string) bool {
	p := strings.SplitN(s, ":", 6)
	if len(s) > 1024 || len(p) != 6 || p[0] != "arn" || p[2] != "kinesisvideo" {
		return false
	}
	digits := func(s string) bool {
		return s != "" && onlyOf(s, func(c byte) bool { return '0' <= c && c <= '9' })
	}
	r := strings.Split(p[5], "/")
	return isRegion(p[1]) && isRegion(p[3]) && digits(p[4]) &&
		len(r) == 3 && slices.Contains([]string{"channel", "stream"}, r[0]) && isID(r[1]) && digits(r[2])
}

// isID reports whether s may be a channel name, a client ID or a correlation ID.
func isID(s string) bool { return s != "" && len(s) <= maxID && onlyOf(s, idChar) }

// isViewerID reports whether a viewer may connect under this name: the service reserves AWS_ in any case. (KVS dev
// guide, ConnectAsViewer.)
func isViewerID(s string) bool {
	return isID(s) && !(len(s) >= 4 && strings.EqualFold(s[:4], "AWS_"))
}

func idChar(c byte) bool { return alphanumeric(c) || c == '_' || c == '.' || c == '-' }

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func onlyOf(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

// isRegion reports whether s looks like a region or a partition.
func isRegion(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

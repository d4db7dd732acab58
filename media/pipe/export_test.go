package pipe

import (
	"context"
	"io/fs"
)

// Late is late, which decides whether a restart of this process would open a device.
func Late(err error, then, now bool) error { return late(err, then, now) }

// FindEncoders is findEncoders: which encoders work on the host of a file tree, best first.
func FindEncoders(ctx context.Context, root fs.FS, works func(context.Context, string) bool) []string {
	return findEncoders(ctx, root, works)
}

// Works is works: whether ffmpeg can encode with it here.
func Works(ctx context.Context, encoder string) bool { return works(ctx, encoder) }

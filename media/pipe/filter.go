package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
)

// ErrNotFound is why Filter could not run a program that is not installed.
var ErrNotFound = exec.ErrNotFound

// Filter runs a command line, program first, to its end. in is its input; its output is returned. Output beyond most
// bytes is an error, and so is a non-zero exit status. When ctx is done the command is ended like that of a Source,
// with everything that it has started.
func Filter(ctx context.Context, args []string, in []byte, most int, log *slog.Logger) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p, err := start(args, from, nil, nil, log)
	_ = from.Close()
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	var fed sync.WaitGroup
	fed.Go(func() {
		_, _ = to.Write(in) // a command that does not read to the end has had enough, or reports its error itself
		_ = to.Close()
	})
	stop := context.AfterFunc(ctx, func() { _ = to.Close(); p.end() })
	out, err := io.ReadAll(io.LimitReader(p.stdout, int64(most)+1))
	if err == nil && len(out) <= most {
		p.settle()
	}
	stop()
	p.end()
	_ = to.Close()
	fed.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", args[0], context.Cause(ctx))
	case len(out) > most:
		return nil, fmt.Errorf("%s wrote more than %d bytes", args[0], most)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", args[0], err)
	case p.err != nil:
		return nil, fmt.Errorf("%s: %w", args[0], p.result())
	}
	return out, nil
}

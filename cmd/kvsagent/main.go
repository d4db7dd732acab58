// Command kvsagent shows cameras to WebRTC viewers through Amazon Kinesis Video Streams signaling.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/spf13/cobra"
)

// Exit codes, as in sysexits.h where it has one. The systemd unit does not restart on exitConfig.
const (
	exitError  = 1
	exitUsage  = 2
	exitTaken  = 75 // another process of this host serves the channel
	exitConfig = 78
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	go untilTold(cancel)
	if os.Getpid() == 1 {
		go reap()
	}
	err := command().ExecuteContext(ctx)
	cancel()
	if err != nil && !isA[loggedError](err) {
		fmt.Fprintln(os.Stderr, explain(err))
	}
	os.Exit(exitCode(err))
}

// untilTold calls cancel at the first signal that ends the process. The second ends it at once.
func untilTold(cancel func()) {
	told := make(chan os.Signal, 2)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	<-told
	cancel()
	second := (<-told).(syscall.Signal)
	if os.Getpid() == 1 { // whom the kernel spares signals that it has no handler for
		os.Exit(128 + int(second))
	}
	signal.Reset(second)
	_ = syscall.Kill(os.Getpid(), second)
}

// loggedError is one that the log tells, in its own format: a last line of another kind would be one that nobody reads,
// and standard error may be a pipe that is full.
type loggedError struct{ error }

func (e loggedError) Unwrap() error { return e.error }

// usageError is a wrong command line.
type usageError struct{ error }

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "kvsagent",
		Short:         "Show cameras to WebRTC viewers through Kinesis Video Streams signaling",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; hint: %s --help", err, c.CommandPath())}
	})
	root.AddCommand(runCommand(), reloadCommand(), demoCommand(), viewCommand(), localkvsCommand(), validateCommand(),
		sourcesCommand(), schemaCommand(), hashCommand(), versionCommand())
	return root
}

// explain formats an error for people, without passwords. Config mistakes are one per line, without a prefix, so that
// editors can jump to them.
func explain(err error) string {
	if _, ok := errors.AsType[config.Errors](err); ok {
		return redact.Text(err.Error())
	}
	return "kvsagent: " + redact.Text(err.Error())
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case isA[config.Errors](err), isA[sourceError](err):
		return exitConfig
	case isA[*agent.TakenError](err):
		return exitTaken
	case isA[usageError](err):
		return exitUsage
	}
	return exitError
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// noArgs and oneArg are cobra's, with our exit code.
func noArgs(c *cobra.Command, args []string) error { return usage(c, cobra.NoArgs(c, args)) }

func oneArg(c *cobra.Command, args []string) error { return usage(c, cobra.ExactArgs(1)(c, args)) }

func usage(c *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return usageError{fmt.Errorf("%w; hint: %s --help", err, c.CommandPath())}
}

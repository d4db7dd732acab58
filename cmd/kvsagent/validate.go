package main

import (
	"fmt"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/spf13/cobra"
)

const defaultConfig = "/etc/kvsagent/kvsagent.yaml"

func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", defaultConfig, "config file")
}

// sourceError says that some sources of a config cannot be made.
type sourceError struct{ error }

// load reads a config file and checks that it can be served, including what the sources' own packages require of their
// URLs.
func load(path string) (*config.Config, error) {
	cfg, _, err := loadHash(path)
	return cfg, err
}

// loadHash is load, and gives the SHA-256 of the file.
func loadHash(path string) (*config.Config, string, error) {
	cfg, hash, err := config.LoadHash(path)
	if err != nil {
		return nil, "", err
	}
	if err := agent.CheckSources(cfg); err != nil {
		return nil, "", sourceError{fmt.Errorf("%s: %w", path, err)}
	}
	return cfg, hash, nil
}

func validateCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "validate", Short: "Check a config file and name every mistake with its line", Args: noArgs,
		Long: "Check a config file and name every mistake with its line. Exit status 0 when it is good, 78 when it " +
			"is not.",
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load(*path)
		if err != nil {
			return err
		}
		for _, w := range cfg.Warnings() {
			fmt.Fprintln(c.ErrOrStderr(), "warning:", redact.Text(w))
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: ok, %d sources, %d channels\n", *path, len(cfg.Sources),
			len(cfg.Channels))
		return err
	}
	return c
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the config file, for editors", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", schema)
			return err
		},
	}
}

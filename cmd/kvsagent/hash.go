package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
)

func hashCommand() *cobra.Command {
	return &cobra.Command{
		Use: "hash", Short: "Print the bcrypt hash of a password for status.users", Args: noArgs,
		Long: "Read a password, one line of standard input, and print its bcrypt hash for status.users.",
		RunE: func(c *cobra.Command, _ []string) error {
			line, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
			if line = strings.TrimRight(line, "\r\n"); line == "" {
				return errors.Join(errors.New("no password on standard input"), err)
			}
			hash, err := bcrypt.GenerateFromPassword([]byte(line), bcrypt.DefaultCost)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", hash)
			return err
		},
	}
}

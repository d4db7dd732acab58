//go:build !linux

package netwatch

import "errors"

// listen and look are for Linux.
func listen() (messages <-chan struct{}, stop func(), err error) {
	return nil, nil, errors.New("not known how on this system")
}

func look() (string, error) { return "", nil }

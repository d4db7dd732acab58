package signaling

import "errors"

// ErrQueueFull says that more messages wait to be written than the queue holds.
var ErrQueueFull = errors.New("send: too many messages wait for the signaling connection")

package signaling

import (
	"fmt"
	"strings"
	"time"
)

// APIError is the service's error answer to an HTTP request or to the upgrade to a WebSocket.
type APIError struct {
	Op         string // in AWS's spelling: DescribeSignalingChannel, ConnectAsMaster
	Status     int    // HTTP status
	Code       string // such as ResourceNotFoundException; "" when the answer names none
	Message    string
	RequestID  string
	RetryAfter time.Duration // 0 when the service does not say
}

func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: status %d", e.Op, e.Status)
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// StatusError is the service's refusal of one message (KVS dev guide, "Asynchronous message reception":
// STATUS_RESPONSE).
type StatusError struct {
	CorrelationID string
	ErrorType     string // such as InvalidArgumentException
	StatusCode    string // an HTTP status in digits
	Description   string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the service refused the message: status %s %s: %s", e.StatusCode, e.ErrorType, e.Description)
}

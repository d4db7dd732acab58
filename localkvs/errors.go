package localkvs

import (
	"fmt"
	"net/http"
)

// apiError is an error as callers see it: a status, a type in x-amzn-ErrorType, and a message.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// The errors of the service model, and those of the layer that checks signatures (403).

func invalidArgument(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "InvalidArgumentException", fmt.Sprintf(format, args...)}
}

func limitExceeded(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "ClientLimitExceededException", fmt.Sprintf(format, args...)}
}

func inUse(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "ResourceInUseException", fmt.Sprintf(format, args...)}
}

func notFound(what string) *apiError {
	return &apiError{http.StatusNotFound, "ResourceNotFoundException",
		fmt.Sprintf("the requested %s is not found or not active", what)}
}

func unavailable(message string) *apiError {
	return &apiError{http.StatusServiceUnavailable, "ServiceUnavailableException", message}
}

func badRequest(code, message string) *apiError {
	return &apiError{http.StatusBadRequest, code, message}
}

func forbidden(code, format string, args ...any) *apiError {
	return &apiError{http.StatusForbidden, code, fmt.Sprintf(format, args...)}
}

func badSignature(format string, args ...any) *apiError {
	return forbidden("InvalidSignatureException", format, args...)
}

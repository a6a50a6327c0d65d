package keys

import (
	"strings"

	"github.com/latchkey-api/latchkey/fault"
)

// Problem is one thing that is wrong with a request for a key.
type Problem struct {
	// Field is the field of the request in snake case, such as "expires_at", or "grace".
	Field string
	// Message is for people, Type a stable name for programs.
	Message, Type string
}

// InvalidError lists all that is wrong with a request for a key. Its code is fault.Invalid.
type InvalidError struct{ Problems []Problem }

// Error is for the log.
func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		texts[i] = problem.Field + ": " + problem.Message
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the code.
func (*InvalidError) Unwrap() error { return fault.New(fault.Invalid) }

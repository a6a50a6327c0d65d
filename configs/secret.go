package configs

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands in every output where a secret would.
const redacted = "[redacted]"

// Secret is a text that cannot be printed, logged or encoded; only Reveal gives it out. The zero value is the empty one.
//
// It holds a pointer because fmt calls no methods on what an unexported field holds: there it would print a plain
// string, but of a pointer it prints the address.
type Secret struct{ value *string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal gives the text. Whoever calls it answers for where the text goes.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero says whether the text is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String tells only whether there is a secret: its text is empty or a fixed word.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Format is String for every verb of fmt, also for those that do not ask a Stringer, such as %d and %x.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for encoding/json and every other encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

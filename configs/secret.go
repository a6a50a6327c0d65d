package configs

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted replaces a secret in every output.
const redacted = "[redacted]"

// Secret is a text that cannot be printed, logged or encoded. Only Reveal returns it. The zero value is empty.
//
// It has a pointer, because fmt calls no methods of an unexported field: it would print a string there, but prints only the address
// of a pointer.
type Secret struct{ value *string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text. The caller is responsible for where it goes.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether the text is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String is empty for the empty secret, and otherwise a fixed word.
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

package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
)

func TestCodesHaveTheirOwnNameAndAnASCIIText(t *testing.T) {
	seen := map[string]fault.Code{}
	for _, code := range fault.Codes() {
		if code.Reason() == "" || code.Text() == "" {
			t.Errorf("code %d has no row in the table", code)
		}
		if other, ok := seen[code.Reason()]; ok {
			t.Errorf("codes %d and %d share the name %q", other, code, code.Reason())
		}
		seen[code.Reason()] = code
		for _, r := range code.Text() {
			// A quote or a backslash would need escaping inside WWW-Authenticate.
			if r < ' ' || r > '~' || r == '"' || r == '\\' {
				t.Errorf("%s: text %q has %q", code, code.Text(), r)
			}
		}
	}
}

func TestCodeOf(t *testing.T) {
	cause := errors.New("disk on fire")
	tests := []struct {
		name string
		err  error
		want fault.Code
	}{
		{"a code", fault.New(fault.Conflict), fault.Conflict},
		{"behind another error", fmt.Errorf("create: %w", fault.Wrap(fault.Unavailable, cause)), fault.Unavailable},
		{"joined", errors.Join(cause, fault.New(fault.NotFound)), fault.NotFound},
		{"nobody classified it", cause, fault.Internal},
		{"a code that does not exist", fault.New(fault.Code(255)), fault.Code(255)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fault.CodeOf(tt.err); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if got := fault.Code(255).Text(); got != fault.Internal.Text() {
		t.Errorf("an unknown code says %q", got)
	}
}

func TestCauseStaysReachable(t *testing.T) {
	cause := errors.New("disk on fire")
	err := fault.Wrap(fault.Unavailable, cause)
	if !errors.Is(err, cause) {
		t.Error("the log cannot reach the cause")
	}
	if err.Code.Text() == err.Error() {
		t.Error("the public text and the log's text are the same: the cause would be shown or lost")
	}
}

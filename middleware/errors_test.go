package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
)

// statuses is the contract. A new code without a row fails the test.
func statuses() map[fault.Code]int {
	return map[fault.Code]int{
		fault.Internal: 500, fault.BadRequest: 400, fault.NotFound: 404, fault.MethodNotAllowed: 405,
		fault.RequestTimeout: 408, fault.Conflict: 409, fault.BodyTooLarge: 413, fault.UnsupportedMediaType: 415,
		fault.HeaderTooLarge: 431, fault.AuthorizationRepeated: 400, fault.AuthorizationMissing: 401,
		fault.TokenTooLong: 401, fault.TokenMalformed: 401, fault.KeyNotAcceptable: 401, fault.SignatureInvalid: 401,
		fault.TokenExpired: 401, fault.TokenNotYetValid: 401, fault.ClaimMissing: 401, fault.AudienceInvalid: 401,
		fault.LifetimeTooLong: 401, fault.APITokenMissing: 401, fault.APITokenIncorrect: 401,
		fault.InsufficientScope: 403, fault.TooManyRequests: 429, fault.Invalid: 422, fault.Unavailable: 503, fault.Timeout: 504,
	}
}

func TestStatusOfEveryCode(t *testing.T) {
	want := statuses()
	for _, code := range fault.Codes() {
		status, ok := want[code]
		if !ok {
			t.Errorf("%v has no row in this test", code)
			continue
		}
		if got := StatusOf(code); got != status {
			t.Errorf("%v is answered with %d, want %d", code, got, status)
		}
		// Outside the guard, the text of a refusal is that of its status.
		own := status == 401 || status == 403 || code == fault.AuthorizationRepeated
		if text := http.StatusText(status); !own && code.Text() != text {
			t.Errorf("%v says %q, want %q", code, code.Text(), text)
		}
	}
}

func TestChallenge(t *testing.T) {
	const realm = `Bearer realm="latchkey"`
	tests := map[fault.Code]string{
		fault.AuthorizationMissing:  realm,
		fault.AuthorizationRepeated: realm + `, error="invalid_request", error_description="more than one authorization header"`,
		fault.TokenExpired:          realm + `, error="invalid_token", error_description="Error decoding token: signature has expired"`,
		fault.APITokenMissing:       realm + `, error="invalid_token", error_description="Missing API token"`,
		fault.APITokenIncorrect:     realm + `, error="invalid_token", error_description="Incorrect API token"`,
		fault.InsufficientScope:     realm + `, error="insufficient_scope", scope="accounts:read"`,
		fault.BadRequest:            "",
		fault.NotFound:              "",
		fault.TooManyRequests:       "",
		fault.Internal:              "",
	}
	for code, want := range tests {
		if got := Challenge(&fault.Error{Code: code, Scope: "accounts:read"}); got != want {
			t.Errorf("%v: %q, want %q", code, got, want)
		}
	}
}

func TestAsFault(t *testing.T) {
	marker := errors.New("SECRET-MARKER")
	tests := []struct {
		name string
		err  error
		want fault.Code
	}{
		{"a fault", fault.Wrap(fault.Conflict, marker), fault.Conflict},
		{"a fault behind words", fmt.Errorf("register: %w", fault.New(fault.NotFound)), fault.NotFound},
		{"no route", fiber.ErrNotFound, fault.NotFound},
		{"no such method", fiber.ErrMethodNotAllowed, fault.MethodNotAllowed},
		{"another error of the framework", fiber.NewError(418, "SECRET-MARKER"), fault.Internal},
		{"the deadline", fmt.Errorf("wait: %w", context.DeadlineExceeded), fault.Timeout},
		{"the deadline in the store", fault.Wrap(fault.Unavailable, context.DeadlineExceeded), fault.Unavailable},
		{"anything", marker, fault.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := asFault(tt.err)
			if f.Code != tt.want {
				t.Errorf("got %v, want %v", f.Code, tt.want)
			}
			if body := string(Body(f)); body != `{"detail":"`+tt.want.Text()+`"}` {
				t.Errorf("the caller reads %s", body)
			}
		})
	}
}

func TestBodyNamesInvalidFields(t *testing.T) {
	body := Body(fault.InvalidFields(fault.Field{Loc: []string{"query", "limit"}, Msg: "no", Type: "int_range"}))
	var got any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if want := `{"detail":[{"loc":["query","limit"],"msg":"no","type":"int_range"}]}`; string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
}

func TestRefusalIsNoFailureOfTheService(t *testing.T) {
	for _, code := range fault.Codes() {
		if got, want := refusal(code), StatusOf(code) < 500; got != want {
			t.Errorf("%v: %v", code, got)
		}
	}
}

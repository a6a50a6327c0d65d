// Package fault is the closed set of errors of a request. Each has a text for the caller, and separately a cause for the log. Every
// layer uses it, and it imports none. It knows no HTTP.
package fault

import "errors"

// Code is the kind of an error. The zero value is Internal, so that an error without a code tells the caller nothing.
type Code uint8

// The closed set. Every code has a row in table. Its HTTP status is in middleware/errors.go.
const (
	Internal Code = iota

	// Refusals before a route is found.
	BadRequest
	NotFound
	MethodNotAllowed
	RequestTimeout
	Conflict
	BodyTooLarge
	UnsupportedMediaType
	HeaderTooLarge

	// Refusals of the guard, in the order in which its checks run.
	AuthorizationRepeated
	AuthorizationMissing
	TokenTooLong
	TokenMalformed
	KeyNotAcceptable
	SignatureInvalid
	TokenExpired
	TokenNotYetValid
	ClaimMissing
	AudienceInvalid
	LifetimeTooLong
	APITokenMissing
	APITokenIncorrect
	InsufficientScope
	TooManyRequests

	// Invalid is a request with wrong values; Error.Fields has them.
	Invalid

	// Failures of the service.
	Unavailable
	Timeout

	codeCount
)

// decoding begins the text of every refusal of the token itself, not of the API key in it.
const decoding = "Error decoding token: "

// table has the name of each code in metrics and logs, and its text for the caller. Texts are a contract: ASCII, stable, and without
// anything from the request.
var table = [codeCount]struct{ reason, text string }{
	Internal:              {"internal", "Internal Server Error"},
	BadRequest:            {"bad_request", "Bad Request"},
	NotFound:              {"not_found", "Not Found"},
	MethodNotAllowed:      {"method_not_allowed", "Method Not Allowed"},
	RequestTimeout:        {"request_timeout", "Request Timeout"},
	Conflict:              {"conflict", "Conflict"},
	BodyTooLarge:          {"body_too_large", "Request Entity Too Large"},
	UnsupportedMediaType:  {"unsupported_media_type", "Unsupported Media Type"},
	HeaderTooLarge:        {"header_too_large", "Request Header Fields Too Large"},
	AuthorizationRepeated: {"authorization_repeated", "more than one authorization header"},
	AuthorizationMissing:  {"authorization_missing", "authorization header missing"},
	TokenTooLong:          {"token_too_long", decoding + "token too long"},
	TokenMalformed:        {"token_malformed", decoding + "malformed token"},
	KeyNotAcceptable:      {"key_not_acceptable", decoding + "key or algorithm not acceptable"},
	SignatureInvalid:      {"signature_invalid", decoding + "signature verification failed"},
	TokenExpired:          {"token_expired", decoding + "signature has expired"},
	TokenNotYetValid:      {"token_not_yet_valid", decoding + "token is not yet valid"},
	ClaimMissing:          {"claim_missing", decoding + "required claim missing"},
	AudienceInvalid:       {"audience_invalid", decoding + "invalid audience"},
	LifetimeTooLong:       {"lifetime_too_long", decoding + "token lifetime too long"},
	APITokenMissing:       {"api_token_missing", "Missing API token"},
	APITokenIncorrect:     {"api_token_incorrect", "Incorrect API token"},
	InsufficientScope:     {"insufficient_scope", "insufficient scope"},
	TooManyRequests:       {"too_many_requests", "Too Many Requests"},
	Invalid:               {"invalid", "Unprocessable Entity"},
	Unavailable:           {"unavailable", "Service Unavailable"},
	Timeout:               {"timeout", "Gateway Timeout"},
}

// Codes lists every code, for tables that must have a row for each.
func Codes() []Code {
	codes := make([]Code, 0, codeCount)
	for c := range codeCount {
		codes = append(codes, c)
	}
	return codes
}

// Reason is the code's stable name in metrics and logs.
func (c Code) Reason() string { return c.row().reason }

// Text is the text for the caller.
func (c Code) Text() string { return c.row().text }

// String is Reason, for the output of tests.
func (c Code) String() string { return c.Reason() }

func (c Code) row() struct{ reason, text string } {
	if c >= codeCount {
		return table[Internal]
	}
	return table[c]
}

// Field is what is wrong with one part of a request. Loc has only names from the service's documentation:
// {"query", "limit"} or {"body", "username"}. Type is a stable machine name.
type Field struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

// Error is an error with a code. Its Error text is for the log. The caller sees only Code.Text and Fields.
type Error struct {
	Code Code
	// Fields is set for Invalid.
	Fields []Field
	// Scope is the scope that the request needs, for InsufficientScope.
	Scope string

	cause error
}

// New is an error without a cause.
func New(code Code) *Error { return &Error{Code: code} }

// Wrap is an error with a cause for the log, which may be nil.
func Wrap(code Code, cause error) *Error { return &Error{Code: code, cause: cause} }

// InvalidFields is an Invalid error with its fields.
func InvalidFields(fields ...Field) *Error { return &Error{Code: Invalid, Fields: fields} }

// NeedScope is an InsufficientScope error with the scope that the request needs.
func NeedScope(scope string) *Error { return &Error{Code: InsufficientScope, Scope: scope} }

// Error is the text for the log: the code's name and the cause.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Code.Reason()
	}
	return e.Code.Reason() + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf is the code of the first *Error in err's tree, or Internal without one.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

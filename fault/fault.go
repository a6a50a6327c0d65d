// Package fault is the closed set of ways in which a request can fail: what the caller may read, and, apart from it,
// what only the log may know. It belongs to every layer and depends on none; it knows no HTTP.
package fault

import "errors"

// Code names one way to fail. The zero value is Internal, so that an error nobody classified says nothing.
type Code uint8

// The closed set. Every code has a row in table; the HTTP status of each stands in middleware/errors.go.
const (
	Internal Code = iota

	// Refusals of the edge and of routing.
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

	// Invalid is a request that was understood and is wrong; it carries Fields.
	Invalid

	// The service's own failures.
	Unavailable
	Timeout

	codeCount
)

// decoding starts the text of every refusal that concerns the token itself, not the API key in it.
const decoding = "Error decoding token: "

// table holds, for each code, its name in metrics and logs and the text that the caller reads. Texts are a contract:
// ASCII, stable, and never made of anything that came with the request.
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

// Text is what the caller reads.
func (c Code) Text() string { return c.row().text }

// String is Reason, so that a code reads well in a test's output.
func (c Code) String() string { return c.Reason() }

func (c Code) row() struct{ reason, text string } {
	if c >= codeCount {
		return table[Internal]
	}
	return table[c]
}

// Field says what is wrong with one part of a request. Loc names only fields that the service's documentation names:
// {"query", "limit"} or {"body", "username"}. Type is a stable machine name.
type Field struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

// Error is a failure with a code. What Error prints is for the log; the caller is shown Code.Text and Fields only.
type Error struct {
	Code Code
	// Fields is set with Invalid.
	Fields []Field
	// Scope is set with InsufficientScope: the scope that was needed.
	Scope string

	cause error
}

// New is an error whose code says everything.
func New(code Code) *Error { return &Error{Code: code} }

// Wrap keeps cause for the log. A nil cause is allowed.
func Wrap(code Code, cause error) *Error { return &Error{Code: code, cause: cause} }

// InvalidFields is an Invalid error about the given parts of the request.
func InvalidFields(fields ...Field) *Error { return &Error{Code: Invalid, Fields: fields} }

// NeedScope is an InsufficientScope error that names the scope that was needed.
func NeedScope(scope string) *Error { return &Error{Code: InsufficientScope, Scope: scope} }

// Error is the text for the log: the code's name and the cause.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Code.Reason()
	}
	return e.Code.Reason() + ": " + e.cause.Error()
}

// Unwrap gives the private cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf is the code of the first *Error in err's tree, and Internal where there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

package keys

import "time"

// Principal is a caller whose token was verified and whose key is in force.
type Principal struct {
	// KeyID is the key's id, SharedID for the shared key.
	KeyID string
	// Client is the client that the key was issued to.
	Client string
	// Scopes are those of the key that the token does not give up.
	Scopes Scopes
	// ExpiresAt is when the token expires, UTC.
	ExpiresAt time.Time

	key *Key
}

// ActorKey is the key of the Actor among the values of a request that changes keys. This Actor has the address and the
// request id; who called is in the Principal.
type ActorKey struct{}

// PrincipalKey is the key under which the guard leaves a *Principal among a request's values.
type PrincipalKey struct{}

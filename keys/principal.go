package keys

import "time"

// Principal is a caller whose token and key were proven.
type Principal struct {
	// KeyID is the key's id, SharedID for the shared key.
	KeyID string
	// Client is whom the key was issued to.
	Client string
	// Scopes is what this token may do: the key's scopes, narrowed by the token's own.
	Scopes Scopes
	// ExpiresAt is when the token expires, UTC.
	ExpiresAt time.Time

	key *Key
}

// ActorKey is the key under which routes that change keys find an Actor: where the request came from. Who sent it is
// the Principal's part.
type ActorKey struct{}

// PrincipalKey is the key under which the guard leaves a *Principal among a request's values.
type PrincipalKey struct{}

package client

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/token"
)

// Options are the choices a caller has; the zero value fits a service with the default settings.
type Options struct {
	// Audience is the service's JWT_AUDIENCE; "" means latchkey-api.
	Audience string
	// TTL is how long each token is valid: 1s to 1h, and not over the service's JWT_MAX_LIFETIME; 0 means 5m.
	TTL time.Duration
	// Scopes narrow what the tokens may do to these of the key's scopes. nil leaves all of them; an empty list leaves none.
	Scopes []string
	// BackDate is how far back the start of a token's validity (nbf) is put, for a service whose clock is behind:
	// up to 1h; 0 means 5s.
	BackDate time.Duration
	// Base sends the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// What the zero value of an option means.
const (
	defaultAudience = "latchkey-api"
	defaultTTL      = 5 * time.Minute
	defaultBackDate = 5 * time.Second
)

// The limits of TTL and BackDate.
const (
	minTTL      = time.Second
	maxTTL      = time.Hour
	maxBackDate = time.Hour
)

// maxMargin bounds how long before its expiry a token is replaced.
const maxMargin = 30 * time.Second

// Mint makes one token. The error is as that of New; Options.Base does not matter.
func Mint(keyString string, o Options) (string, error) {
	s, err := newSource(keyString, o)
	if err != nil {
		return "", err
	}
	return s.token("")
}

// source mints tokens and keeps the latest.
type source struct {
	signing token.Signing
	grant   token.Grant // of every token, but for Now
	now     func() time.Time

	mu     sync.Mutex // held while minting: of many callers one mints and the others wait for its token
	latest string
	issued time.Time // of latest
	due    time.Time // when latest is to be replaced
}

func newSource(keyString string, o Options) (*source, error) {
	key, err := keystring.Parse(keyString)
	if err != nil {
		return nil, err
	}
	signing, err := signingOf(key)
	if err != nil {
		return nil, err
	}
	grant := token.Grant{APIKey: key.ID(), Audience: o.Audience, TTL: o.TTL, BackDate: o.BackDate}
	if grant.Audience == "" {
		grant.Audience = defaultAudience
	}
	if grant.TTL == 0 {
		grant.TTL = defaultTTL
	}
	if grant.BackDate == 0 {
		grant.BackDate = defaultBackDate
	}
	if grant.TTL < minTTL || grant.TTL > maxTTL {
		return nil, fmt.Errorf("TTL must be from %s to %s", minTTL, maxTTL)
	}
	if grant.BackDate < 0 || grant.BackDate > maxBackDate {
		return nil, fmt.Errorf("BackDate must be from 0s to %s", maxBackDate)
	}
	if o.Scopes != nil {
		scope := strings.Join(o.Scopes, " ")
		grant.Scope = &scope
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return &source{signing: signing, grant: grant, now: now}, nil
}

func signingOf(key keystring.Key) (token.Signing, error) {
	if private, ok := key.PrivateKey(); ok {
		return token.EdDSA(key.ID(), private), nil
	}
	secret, _ := key.HMACKey() // what is no ed25519 key is an hs256 key
	return token.HMAC("HS256", key.ID(), secret)
}

// token is the latest token, or a new one where that is about to expire or is the one that the service refused.
//
// Only the wall clock counts, because it is what the service compares: Round(0) drops the monotonic reading, which stands
// still while a machine sleeps. A token from the future means that the clock was set back; the service would refuse it.
func (s *source) token(refused string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().Round(0)
	if s.latest != "" && s.latest != refused && !now.Before(s.issued) && now.Before(s.due) {
		return s.latest, nil
	}
	grant := s.grant
	grant.Now = now
	minted, err := token.Mint(s.signing, grant)
	if err != nil {
		return "", fmt.Errorf("minting a token: %w", err)
	}
	s.latest = minted
	s.issued = now.Truncate(time.Second) // as iat and exp are
	s.due = now.Add(grant.TTL).Truncate(time.Second).Add(-min(maxMargin, grant.TTL/4))
	return minted, nil
}

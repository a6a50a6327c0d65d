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

// Options are optional. The zero value fits a service with the default settings.
type Options struct {
	// Audience is the service's JWT_AUDIENCE; "" means latchkey-api.
	Audience string
	// TTL is how long each token is valid: 1s to 1h, and not over the service's JWT_MAX_LIFETIME; 0 means 5m.
	TTL time.Duration
	// Scopes are those of the key's scopes that the tokens have. nil means all of them, an empty list none.
	Scopes []string
	// BackDate is how far in the past a token becomes valid (nbf), for a service whose clock is behind: up to 1h; 0 means 5s.
	BackDate time.Duration
	// Base sends the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// The defaults of the options.
const (
	defaultAudience = "latchkey-api"
	defaultTTL      = 5 * time.Minute
	defaultBackDate = 5 * time.Second
)

// The bounds of TTL and BackDate.
const (
	minTTL      = time.Second
	maxTTL      = time.Hour
	maxBackDate = time.Hour
)

// maxMargin is the longest time before its expiry at which a token is replaced.
const maxMargin = 30 * time.Second

// Mint makes one token. Its errors are those of New. It ignores Options.Base.
func Mint(keyString string, o Options) (string, error) {
	s, err := newSource(keyString, o)
	if err != nil {
		return "", err
	}
	return s.token("")
}

// source mints tokens and keeps the last one.
type source struct {
	signing token.Signing
	grant   token.Grant // for every token, without Now
	now     func() time.Time

	mu     sync.Mutex // held while minting, so that concurrent callers share one new token
	latest string
	issued time.Time // of latest
	due    time.Time // when latest is replaced
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
	secret, _ := key.HMACKey() // the other kind is hs256
	return token.HMAC("HS256", key.ID(), secret)
}

// token returns the latest token, or a new one if that expires soon or was refused by the service.
//
// It compares the wall clock, as the service does: Round(0) drops the monotonic clock, which stops while a machine sleeps. If the
// latest token is from the future, the clock was set back, and the service would refuse it.
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

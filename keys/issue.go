package keys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// The bounds of a request for a key.
const (
	// MaxClient is how many characters the name of a client may have.
	MaxClient = 64
	// MaxRate is in requests a second, MaxBurst in requests.
	MaxRate  = 1e6
	MaxBurst = 1_000_000
	// MaxGrace is the longest time for which a rotated key is still accepted, DefaultGrace the time when a rotation names none.
	MaxGrace     = 720 * time.Hour
	DefaultGrace = 24 * time.Hour
)

// Request is the request for a new key.
type Request struct {
	Client string
	Scopes []string
	// Kind is "" for ed25519.
	Kind string
	// Rate is in requests a second; nil for no limit. The default of Burst is the rate, rounded up.
	Rate  *float64
	Burst *int
	// ExpiresAt is nil for never.
	ExpiresAt *time.Time
}

// Create makes a key. The key string that it returns is the only copy of the secret half. Its errors are *InvalidError, and
// those of the store.
func (k *Keyring) Create(ctx context.Context, by Actor, in Request) (Record, keystring.Key, error) {
	now := k.now()
	record, wrong := in.record(now)
	if record.Kind == keystring.HS256 {
		err := k.canSeal(ctx)
		switch {
		case errors.Is(err, errNoMasterKey), errors.Is(err, errWrongMasterKey):
			wrong = append(wrong, sealProblem(err))
		case err != nil:
			return Record{}, keystring.Key{}, err
		}
	}
	if len(wrong) > 0 {
		return Record{}, keystring.Key{}, &InvalidError{wrong}
	}
	text, err := k.generate(&record)
	if err != nil {
		return Record{}, keystring.Key{}, err
	}
	event := Event{At: now, Actor: by, Action: ActionCreate, Target: record.ID, Count: 1}
	record, err = k.store.CreateKey(ctx, record, event)
	if err != nil {
		return Record{}, keystring.Key{}, err
	}
	k.apply(record)
	return record, text, nil
}

// record is the key of the request, and what is wrong with the request.
func (in Request) record(now time.Time) (Record, []Problem) {
	var wrong []Problem
	refuse := func(bad bool, field, message, kind string) {
		if bad {
			wrong = append(wrong, Problem{field, message, kind})
		}
	}
	r := Record{Client: in.Client, Kind: keystring.Kind(in.Kind), State: Enabled, CreatedAt: now}
	if r.Kind == "" {
		r.Kind = keystring.Ed25519
	}
	refuse(in.Client == "", "client", "field required", "missing")
	refuse(utf8.RuneCountInString(in.Client) > MaxClient, "client", "must have at most 64 characters", "string_too_long")
	refuse(!utf8.ValidString(in.Client) || strings.ContainsFunc(in.Client, unprintable) || in.Client != "" && strings.TrimSpace(in.Client) == "",
		"client", "must be printable, and not blank", "string_pattern_mismatch")
	refuse(len(in.Scopes) == 0, "scopes", "name at least one of "+allScopes(), "missing")
	for _, name := range in.Scopes {
		if !Scope(name).Known() {
			refuse(true, "scopes", "unknown scope; there are "+allScopes(), "enum")
			break
		}
		r.Scopes = append(r.Scopes, Scope(name))
	}
	slices.Sort(r.Scopes)
	r.Scopes = slices.Compact(r.Scopes)
	refuse(!slices.Contains(keystring.Kinds(), r.Kind), "kind", "must be ed25519 or hs256", "enum")
	if in.Rate != nil {
		r.Rate = *in.Rate
		// NaN fails this comparison.
		refuse(!(r.Rate >= 1e-3 && r.Rate <= MaxRate), "rate", "must be from 0.001 to 1000000 requests a second", "number_range")
		r.Burst = int(math.Ceil(min(max(r.Rate, 1), MaxBurst)))
	}
	if in.Burst != nil {
		r.Burst = *in.Burst
		refuse(in.Rate == nil, "burst", "needs a rate", "value_error")
		refuse(r.Burst < 1 || r.Burst > MaxBurst, "burst", "must be from 1 to "+strconv.Itoa(MaxBurst), "int_range")
	}
	if in.ExpiresAt != nil {
		r.ExpiresAt = in.ExpiresAt.UTC().Truncate(time.Microsecond)
		refuse(!r.ExpiresAt.After(now), "expires_at", "must be in the future", "datetime_future")
		refuse(r.ExpiresAt.Year() > 9999, "expires_at", "must be before the year 10000", "datetime_range")
	}
	return r, wrong
}

// unprintable reports whether a character changes what a terminal or a page shows around it.
func unprintable(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

func sealProblem(err error) Problem {
	msg := "MASTER_KEY is not the one that the other hs256 keys are sealed under"
	if errors.Is(err, errNoMasterKey) {
		msg = "hs256 keys need MASTER_KEY, which is not set"
	}
	return Problem{"kind", msg, "value_error"}
}

func allScopes() string { return strings.Join(EveryScope().Names(), ", ") }

// generate gives a record a new id, and the Material of a new secret.
func (k *Keyring) generate(r *Record) (keystring.Key, error) {
	text, err := keystring.New(k.environment, r.Kind)
	if err != nil {
		return keystring.Key{}, err
	}
	r.ID, r.Hint, r.Environment = text.ID(), text.Hint(), text.Environment()
	r.Level = max(r.Level, baseLevel)
	if private, ok := text.PrivateKey(); ok {
		r.Material = private.Public().(ed25519.PublicKey) //nolint:forcetypeassert // what the library promises
		return text, nil
	}
	r.Material, err = k.sealer.Seal(r.ID, r.Kind, []byte(text.Reveal()))
	return text, err
}

// Rotate makes a successor of a key, with the same client, scopes, limit, state and lifetime. The old key is accepted until
// the grace ends or it expires, whichever is sooner. With a grace of 0 it is revoked. Its errors are
//   - *InvalidError for a grace outside of 0 to MaxGrace, and for an hs256 key that the master key does not decrypt;
//   - fault.NotFound;
//   - fault.Conflict for a key that is revoked, expired, or has a successor.
func (k *Keyring) Rotate(ctx context.Context, by Actor, id string, grace time.Duration) (old, successor Record, _ keystring.Key, _ error) {
	var text keystring.Key
	if !keystring.IsID(id) {
		return old, successor, text, fault.New(fault.NotFound)
	}
	if grace < 0 || grace > MaxGrace {
		return old, successor, text, &InvalidError{[]Problem{{"grace", "must be from 0s to 720h", "duration_range"}}}
	}
	now := k.now()
	event := Event{At: now, Actor: by, Action: ActionRotate, Target: id, Count: 1}
	old, successor, err := k.store.RotateKey(ctx, id, event, func(old *Record) (Record, error) {
		if old.State == Revoked || old.Expired(now) || old.RotatedTo != "" {
			return Record{}, fault.New(fault.Conflict)
		}
		if err := old.supported(); err != nil {
			return Record{}, err
		}
		if old.Kind == keystring.HS256 {
			if _, err := k.sealer.Open(old.ID, old.Kind, old.Material); err != nil {
				return Record{}, &InvalidError{[]Problem{sealProblem(err)}}
			}
		}
		next := Record{
			Client: old.Client, Kind: old.Kind, Scopes: old.Scopes, Rate: old.Rate, Burst: old.Burst,
			State: old.State, RotatedFrom: old.ID, CreatedAt: now, Level: old.Level,
		}
		if !old.ExpiresAt.IsZero() {
			next.ExpiresAt = now.Add(old.ExpiresAt.Sub(old.CreatedAt))
		}
		var err error
		if text, err = k.generate(&next); err != nil {
			return Record{}, err
		}
		old.RotatedTo = next.ID
		if ends := now.Add(grace); old.ExpiresAt.IsZero() || ends.Before(old.ExpiresAt) {
			old.ExpiresAt = ends
		}
		if grace == 0 {
			old.State = Revoked // an expiry would depend on the clock of each instance
		}
		return next, nil
	})
	if err != nil {
		return Record{}, Record{}, keystring.Key{}, err
	}
	k.apply(old, successor)
	return old, successor, text, nil
}

// now is the wall clock in UTC and whole microseconds, as the store keeps times.
func (k *Keyring) now() time.Time { return k.clock().UTC().Truncate(time.Microsecond) }

// Package keys is the domain: which keys there are, what each may do, and who a caller is once its token is proven. It
// knows the token but neither HTTP nor SQL.
package keys

import (
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/keys/shares"
)

// The bounds of what the keyring holds and asks.
const (
	// maxKeys is how many registered keys are held at once; past it any one of them is read again when it is used.
	maxKeys = 100_000
	// maxUnknown is how many unknown ids are remembered, each for unknownFor.
	maxUnknown = 10_000
	unknownFor = time.Second
	// maxViewAge is how old the keyring's view of the store may be before it asks the store at each request.
	maxViewAge = 5 * time.Second
	// unasked is the version of a keyring that has not asked the store for changes yet: no change is after it.
	unasked = math.MaxInt64
)

// Options makes a keyring.
type Options struct {
	// Shared is the key that every caller may share; one without an API key or a secret is no key.
	Shared SharedKey
	// Store has the registered keys.
	Store Store
	// Environment is that of the keys that are made and accepted.
	Environment keystring.Environment
	// Sealer opens hs256 keys; nil without a master key.
	Sealer *Sealer
	Logger *slog.Logger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Instance names this process among those on the same store.
	Instance string
	// Propagated, unless nil, is told how long ago a key was disabled or revoked of which this process has just heard.
	Propagated func(time.Duration)
}

// Keyring holds the keys that tokens are verified with, and makes and changes registered ones. What it holds follows
// the store while Run runs; otherwise it asks the store at each request. It is safe for concurrent use.
type Keyring struct {
	store       Store
	environment keystring.Environment
	sealer      *Sealer
	logger      *slog.Logger
	clock       func() time.Time // the wall clock
	instance    string
	propagated  func(time.Duration)

	shared  *Key
	most    int // maxKeys
	lookups lookups

	mu      sync.RWMutex
	keys    map[string]*Key
	unknown map[string]time.Time // until when an id is known to be unknown
	swept   time.Time            // when those that are no longer were last thrown out
	// changes counts the changes that were applied: what was read before one and kept after it could be older.
	changes uint64
	// instances is how many there are with this one, and parts what it lets through of limits that are not divided
	// evenly.
	instances int
	parts     shares.Shares

	// monotonic is a clock that nobody sets, and viewed the time on it at which the store was last asked what changed,
	// and answered.
	monotonic func() time.Duration
	viewed    atomic.Int64
	version   atomic.Int64
	// turn is that of the fleet, and began when the server began, when the store was last asked; only Poll uses them.
	turn  int64
	began time.Time
	// unusable is how many hs256 keys cannot be opened, counted when version was counted; only Start and then write count.
	unusable atomic.Int64
	counted  int64
	// moved tells that version has changed, turned that turn has, and woken that the store has news.
	moved, turned, woken chan struct{}
	notes                notes
	limits               limits
	failing              sync.Map // what could not be written when it was last tried
}

// NewKeyring makes a keyring.
func NewKeyring(o Options) *Keyring {
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keyring{
		store:       o.Store,
		environment: o.Environment,
		sealer:      o.Sealer,
		logger:      o.Logger,
		clock:       o.Now,
		instance:    o.Instance,
		propagated:  o.Propagated,

		shared:  newSharedKey(o.Shared),
		most:    maxKeys,
		lookups: lookups{flights: map[string]*flight{}},
		keys:    map[string]*Key{},
		unknown: map[string]time.Time{},
		moved:   make(chan struct{}, 1),
		turned:  make(chan struct{}, 1),
		woken:   make(chan struct{}, 1),

		instances: 1,
	}
	began := time.Now()
	k.monotonic = func() time.Duration { return time.Since(began) }
	k.viewed.Store(math.MinInt64)
	k.version.Store(unasked)
	return k
}

// Shared is the key of tokens without a kid; its error is fault.KeyNotAcceptable where there is none.
func (k *Keyring) Shared() (*Key, error) {
	if k.shared == nil {
		return nil, fault.New(fault.KeyNotAcceptable)
	}
	return k.shared, nil
}

// Find is the registered key with the given id. Its errors are fault.KeyNotAcceptable for an id that is unknown or has
// not the form of one, and fault.Unavailable where the store cannot be asked or the key cannot be opened. An id without
// the form costs no look-up, an unknown one none more within a second.
func (k *Keyring) Find(id string) (*Key, error) {
	if !keystring.IsID(id) {
		return nil, fault.New(fault.KeyNotAcceptable)
	}
	k.mu.RLock()
	held, until := k.keys[id], k.unknown[id]
	k.mu.RUnlock()
	if held == nil {
		if !until.IsZero() && time.Now().Before(until) {
			return nil, fault.New(fault.KeyNotAcceptable)
		}
		var err error
		if held, err = k.read(id, false); err != nil {
			return nil, err
		}
	}
	return held, held.problem
}

// current is whether the view of the store is young enough to be believed. It is measured on the monotonic clock at each
// request, so that a process that was paused asks again when it goes on.
func (k *Keyring) current() bool {
	viewed := k.viewed.Load()
	return viewed != math.MinInt64 && k.monotonic()-time.Duration(viewed) <= maxViewAge
}

// Admit says what a key may do whose token is verified: it must be enabled, in its time, and of this environment, now. Its
// errors are fault.APITokenIncorrect, and fault.Unavailable where the store had to be asked and did not answer.
func (k *Keyring) Admit(key *Key) (Principal, error) {
	if key.registered() {
		if key.stale.Load() || !k.current() {
			var err error
			if key, err = k.newest(key); err != nil {
				return Principal{}, err
			}
		}
		now := k.clock()
		if key.record.State != Enabled || key.record.Expired(now) || key.record.Environment != k.environment {
			return Principal{}, fault.New(fault.APITokenIncorrect)
		}
		k.notes.used(key, now)
	}
	return Principal{KeyID: key.id, Client: key.client, Scopes: key.scopes, key: key}, nil
}

// newest is the newest state of a key that was replaced, or that may have been.
func (k *Keyring) newest(key *Key) (*Key, error) {
	if k.current() {
		if found, err := k.Find(key.id); err != nil || !found.stale.Load() {
			return found, err
		}
	}
	read, err := k.read(key.id, true)
	if err != nil {
		return nil, err
	}
	return read, read.problem
}

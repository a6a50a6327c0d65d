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

const (
	// maxKeys is how many registered keys are cached at once.
	maxKeys = 100_000
	// maxUnknown is how many unknown ids are cached, each for unknownFor.
	maxUnknown = 10_000
	unknownFor = time.Second
	// maxSnapshotAge is how old the snapshot may be. With an older one the keyring reads the key from the store in every
	// request.
	maxSnapshotAge = 5 * time.Second
	// neverPolled is the version of a keyring that has not polled yet. No change has a higher one.
	neverPolled = math.MaxInt64
)

// Options makes a keyring.
type Options struct {
	// Shared is the key that callers may share. Without an API key or without a secret there is none.
	Shared SharedKey
	// Store has the registered keys.
	Store Store
	// Environment is the environment of the keys that are made and accepted.
	Environment keystring.Environment
	// Sealer encrypts hs256 keys; nil without a master key.
	Sealer *Sealer
	Logger *slog.Logger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Instance names this process among those on the same store.
	Instance string
	// Propagated is called when a poll finds a key that another process disabled or revoked, with the age of that change.
	// It may be nil.
	Propagated func(time.Duration)
}

// Keyring has the keys that verify tokens, and makes and changes registered ones. It is safe for concurrent use.
//
// It caches registered keys. While Run runs, it follows the changes of other processes; without Run, it reads the key
// from the store in every request.
type Keyring struct {
	store       Store
	environment keystring.Environment
	sealer      *Sealer
	logger      *slog.Logger
	clock       func() time.Time // the wall clock
	instance    string
	propagated  func(time.Duration)

	sharedKey *Key
	capacity  int // maxKeys
	lookups   lookups

	mu           sync.RWMutex
	keys         map[string]*Key
	unknown      map[string]time.Time // unknown ids, and until when they are not looked up
	unknownSwept time.Time            // when expired ones were last removed
	// changes counts the changes that were applied. What was read before a change must not be cached after it.
	changes uint64
	// fleetSize is how many instances are live, this one included. shares is what this one last reported of its shares.
	fleetSize int
	shares    shares.Report

	// monotonic is a clock that nobody can set. snapshotAt is its time at the start of the last successful poll, version
	// the version of keys that this poll found.
	monotonic  func() time.Duration
	snapshotAt atomic.Int64
	version    atomic.Int64
	// epoch and serverStarted are those of the last poll. Only Poll uses them.
	epoch         int64
	serverStarted time.Time
	// unusable is how many hs256 keys cannot be decrypted, as counted at unusableVersion. Only Start and usageLoop count.
	unusable        atomic.Int64
	unusableVersion int64
	// versionChanged asks for a heartbeat, fleetChanged for a look at the shares, notified for a poll.
	versionChanged, fleetChanged, notified chan struct{}

	usage   usage
	limits  limits
	failing sync.Map // what could not be written at the last attempt
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

		sharedKey:      newSharedKey(o.Shared),
		capacity:       maxKeys,
		lookups:        lookups{flights: map[string]*flight{}},
		keys:           map[string]*Key{},
		unknown:        map[string]time.Time{},
		fleetSize:      1,
		versionChanged: make(chan struct{}, 1),
		fleetChanged:   make(chan struct{}, 1),
		notified:       make(chan struct{}, 1),
	}
	start := time.Now()
	k.monotonic = func() time.Duration { return time.Since(start) }
	k.snapshotAt.Store(math.MinInt64)
	k.version.Store(neverPolled)
	return k
}

// Shared is the key of tokens without a kid. Its error is fault.KeyNotAcceptable where there is no shared key.
func (k *Keyring) Shared() (*Key, error) {
	if k.sharedKey == nil {
		return nil, fault.New(fault.KeyNotAcceptable)
	}
	return k.sharedKey, nil
}

// Find gives the registered key with an id, from the cache or from the store. Its errors are
//   - fault.KeyNotAcceptable for an unknown or malformed id. A malformed id is never looked up, an unknown one at most once
//     in unknownFor.
//   - fault.Unavailable where the store does not answer, or the key cannot be decrypted.
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

// snapshotFresh reports whether the snapshot is young enough. Every request asks, on the monotonic clock: a process that
// was paused finds its snapshot too old when it goes on.
func (k *Keyring) snapshotFresh() bool {
	at := k.snapshotAt.Load()
	return at != math.MinInt64 && k.monotonic()-time.Duration(at) <= maxSnapshotAge
}

// Admit says who the caller is whose token this key verified, and what the caller may do. The key must now be enabled, not
// expired, and of this environment. Its errors are fault.APITokenIncorrect, and fault.Unavailable where the store had to
// be asked and did not answer.
func (k *Keyring) Admit(key *Key) (Principal, error) {
	if key.registered() {
		if key.stale.Load() || !k.snapshotFresh() {
			var err error
			if key, err = k.newestState(key); err != nil {
				return Principal{}, err
			}
		}
		now := k.clock()
		if key.record.State != Enabled || key.record.Expired(now) || key.record.Environment != k.environment {
			return Principal{}, fault.New(fault.APITokenIncorrect)
		}
		k.usage.used(key, now)
	}
	return Principal{KeyID: key.id, Client: key.client, Scopes: key.scopes, key: key}, nil
}

// newestState gives the newest state of a key that is stale, or may be.
func (k *Keyring) newestState(key *Key) (*Key, error) {
	if k.snapshotFresh() {
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

package keys_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/store"
)

// watched is the real store. It counts queries for keys and the ids in them, and they can fail.
type watched struct {
	*store.Store

	reads, ids atomic.Int64
	fail       atomic.Bool
	// afterRead and afterChanges, unless nil, run after the query and before the answer.
	afterRead    func()
	afterChanges func()
}

func (w *watched) Key(ctx context.Context, id string) (keys.Record, error) {
	w.reads.Add(1)
	return w.Store.Key(ctx, id)
}

func (w *watched) KeysByID(ctx context.Context, ids []string) ([]keys.Record, error) {
	w.reads.Add(1)
	w.ids.Add(int64(len(ids)))
	if w.fail.Load() {
		return nil, fault.Wrap(fault.Unavailable, errors.New("cut off"))
	}
	records, err := w.Store.KeysByID(ctx, ids)
	if w.afterRead != nil {
		w.afterRead()
	}
	return records, err
}

func (w *watched) KeyChanges(ctx context.Context, since int64, most int) (keys.Changes, error) {
	changes, err := w.Store.KeyChanges(ctx, since, most)
	if w.afterChanges != nil {
		w.afterChanges()
	}
	return changes, err
}

func openStore(t testing.TB) *watched {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "latchkey.db"), Environment: "development",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &watched{Store: s}
}

// clock is a wall clock that a test sets.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(c.at.Load(), 0).UTC() }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d / time.Second)) }

func newClock() *clock {
	c := new(clock)
	c.at.Store(1_763_900_000)
	return c
}

// newRing makes the keyring of another process.
func newRing(t testing.TB, s keys.Store, change ...func(*keys.Options)) *keys.Keyring {
	t.Helper()
	sealer, err := keys.NewSealer([]byte(strings.Repeat("m", 32)), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := keys.Options{
		Store: s, Environment: keystring.Test, Sealer: sealer, Instance: "this",
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, each := range change {
		each(&o)
	}
	return keys.NewKeyring(o)
}

func cli() keys.Actor { return keys.Actor{Key: "cli"} }

// create makes a key that may read accounts.
func create(t testing.TB, ring *keys.Keyring, change ...func(*keys.Request)) (keys.Record, keystring.Key) {
	t.Helper()
	in := keys.Request{Client: "acme", Scopes: []string{"accounts:read"}}
	for _, each := range change {
		each(&in)
	}
	record, text, err := ring.Create(t.Context(), cli(), in)
	if err != nil {
		t.Fatal(err)
	}
	return record, text
}

// call is a request with a verified token of the key.
func call(ring *keys.Keyring, id string) error {
	key, err := ring.Find(id)
	if err != nil {
		return err
	}
	if !key.Claims(id) {
		return errors.New("the id of the key is not what its tokens must claim")
	}
	_, err = ring.Admit(key)
	return err
}

func wantCall(t *testing.T, ring *keys.Keyring, id string, want fault.Code) {
	t.Helper()
	if err := call(ring, id); err == nil || fault.CodeOf(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func poll(t *testing.T, ring *keys.Keyring) {
	t.Helper()
	if _, err := ring.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAdmitNeedsEveryCondition(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	poll(t, ring)
	record, _ := create(t, ring)
	if err := call(ring, record.ID); err != nil {
		t.Fatalf("a good key: %v", err)
	}
	key, _ := ring.Find(record.ID)
	for _, claimed := range []string{"", "shared", record.ID + "x", strings.ToLower(record.ID)} {
		if key.Claims(claimed) {
			t.Errorf("claiming %q is right", claimed)
		}
	}

	set := func(state keys.State) {
		t.Helper()
		if _, err := ring.SetState(t.Context(), cli(), record.ID, state); err != nil {
			t.Fatal(err)
		}
	}
	set(keys.Disabled)
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)
	set(keys.Enabled)
	if err := call(ring, record.ID); err != nil {
		t.Errorf("enabled again: %v", err)
	}
	set(keys.Revoked)
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)

	expiring, _ := create(t, ring, func(in *keys.Request) { in.ExpiresAt = new(now.now().Add(time.Minute)) })
	if err := call(ring, expiring.ID); err != nil {
		t.Errorf("before its time is over: %v", err)
	}
	now.forward(time.Minute)
	wantCall(t, ring, expiring.ID, fault.APITokenIncorrect)

	other := newRing(t, s, func(o *keys.Options) { o.Environment = keystring.Live })
	good, _ := create(t, ring)
	wantCall(t, other, good.ID, fault.APITokenIncorrect)
}

package keys_test

import (
	"crypto/ed25519"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

func TestCreateChecksRequest(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	good := func(change func(*keys.Request)) keys.Request {
		in := keys.Request{Client: "acme", Scopes: []string{"accounts:read"}}
		change(&in)
		return in
	}
	limit := func(rate float64, burst ...int) func(*keys.Request) {
		return func(in *keys.Request) {
			in.Rate = &rate
			if len(burst) > 0 {
				in.Burst = &burst[0]
			}
		}
	}
	tests := []struct {
		name string
		in   keys.Request
		want string // the members that are wrong
	}{
		{"little", good(func(*keys.Request) {}), ""},
		{"every scope", good(func(in *keys.Request) { in.Scopes = keys.EveryScope().Names() }), ""},
		{"a client of 64 characters", good(func(in *keys.Request) { in.Client = strings.Repeat("é", 64) }), ""},
		{"one request in 1000 s", good(limit(0.001)), ""},
		{"a rate and a burst", good(limit(50, 100)), ""},
		{"the highest rate", good(limit(1e6, 1_000_000)), ""},
		{"expires in a second", good(func(in *keys.Request) { in.ExpiresAt = new(now.now().Add(time.Second)) }), ""},

		{"nothing", keys.Request{}, "client scopes"},
		{"a client of 65", good(func(in *keys.Request) { in.Client = strings.Repeat("a", 65) }), "client"},
		{"a client with a line break", good(func(in *keys.Request) { in.Client = "a\nb" }), "client"},
		{"a client with a zero", good(func(in *keys.Request) { in.Client = "a\x00" }), "client"},
		{"an unknown scope", good(func(in *keys.Request) { in.Scopes = []string{"accounts:read", "accounts:*"} }), "scopes"},
		{"an empty scope", good(func(in *keys.Request) { in.Scopes = []string{""} }), "scopes"},
		{"an unknown kind", good(func(in *keys.Request) { in.Kind = "rsa" }), "kind"},
		{"rate 0", good(limit(0)), "rate"},
		{"a negative rate", good(limit(-1)), "rate"},
		{"an absurd rate", good(limit(1e7)), "rate"},
		{"a tiny rate", good(limit(1e-9)), "rate"},
		{"no number", good(limit(math.NaN())), "rate"},
		{"infinite", good(limit(math.Inf(1))), "rate"},
		{"a burst of 0", good(limit(1, 0)), "burst"},
		{"an absurd burst", good(limit(1, 1_000_001)), "burst"},
		{"a burst without a rate", good(func(in *keys.Request) { in.Burst = new(5) }), "burst"},
		{"expired already", good(func(in *keys.Request) { in.ExpiresAt = new(now.now()) }), "expires_at"},
		{"expired in the year 1, which is not for ever", good(func(in *keys.Request) { in.ExpiresAt = new(time.Time{}) }), "expires_at"},
		{"after the last year", good(func(in *keys.Request) { in.ExpiresAt = new(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) }), "expires_at"},
		{"all at once", keys.Request{Client: "\x00", Scopes: []string{"x"}, Kind: "x", Rate: new(0.0), Burst: new(0)}, "client scopes kind rate burst"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			record, text, err := ring.Create(t.Context(), cli(), tt.in)
			var wrong []string
			if invalid, ok := errors.AsType[*keys.InvalidError](err); ok && fault.CodeOf(err) == fault.Invalid {
				for _, problem := range invalid.Problems {
					wrong = append(wrong, problem.Field)
				}
			}
			if got := strings.Join(wrong, " "); got != tt.want || (err == nil) != (tt.want == "") {
				t.Fatalf("refused because of %q, want %q: %v", got, tt.want, err)
			}
			if err != nil {
				return
			}
			if record.ID != text.ID() || record.Hint != text.Hint() || record.Environment != keystring.Test || record.State != keys.Enabled {
				t.Errorf("made %+v", record)
			}
		})
	}
	_, _, err := ring.Create(t.Context(), cli(), keys.Request{Client: "c", Scopes: []string{"x"}})
	if invalid, ok := errors.AsType[*keys.InvalidError](err); !ok || !strings.Contains(invalid.Problems[0].Message, strings.Join(keys.EveryScope().Names(), ", ")) {
		t.Errorf("an unknown scope: the error does not list the known ones: %v", err)
	}
}

func TestCreateKeepsOnlyPublicKey(t *testing.T) {
	record, text := create(t, newRing(t, openStore(t)))
	private, ok := text.PrivateKey()
	if !ok || !slices.Equal(record.Material, private.Public().(ed25519.PublicKey)) {
		t.Errorf("kept %d bytes that are not the public key", len(record.Material))
	}
}

func TestCreateDefaultBurst(t *testing.T) {
	ring := newRing(t, openStore(t))
	for rate, burst := range map[float64]int{0.5: 1, 1: 1, 1.5: 2, 50: 50, 1e6: 1_000_000} {
		if record, _ := create(t, ring, func(in *keys.Request) { in.Rate = &rate }); record.Burst != burst {
			t.Errorf("rate %v: a burst of %d, want %d", rate, record.Burst, burst)
		}
	}
}

func TestRotate(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	poll(t, ring)
	rate, burst := 5.0, 7
	first, _ := create(t, ring, func(in *keys.Request) { in.Rate, in.Burst = &rate, &burst })
	old, next, text, err := ring.Rotate(t.Context(), cli(), first.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if next.ID != text.ID() || next.RotatedFrom != first.ID || old.RotatedTo != next.ID ||
		next.Client != "acme" || next.Rate != 5 || next.Burst != 7 || !slices.Equal(next.Scopes, first.Scopes) || next.Kind != first.Kind || !next.ExpiresAt.IsZero() {
		t.Errorf("the successor is %+v", next)
	}
	if !old.ExpiresAt.Equal(now.now().Add(time.Hour)) {
		t.Errorf("the old key expires at %v", old.ExpiresAt)
	}
	for _, id := range []string{first.ID, next.ID} {
		if err := call(ring, id); err != nil {
			t.Errorf("within the grace: %v", err)
		}
	}
	if _, _, _, err := ring.Rotate(t.Context(), cli(), first.ID, 0); fault.CodeOf(err) != fault.Conflict || err == nil {
		t.Errorf("rotated twice: %v", err)
	}
	now.forward(time.Hour)
	wantCall(t, ring, first.ID, fault.APITokenIncorrect)
	if err := call(ring, next.ID); err != nil {
		t.Errorf("the successor after the grace: %v", err)
	}

	if _, _, _, err := ring.Rotate(t.Context(), cli(), next.ID, 0); err != nil {
		t.Fatal(err)
	}
	wantCall(t, ring, next.ID, fault.APITokenIncorrect) // a grace of 0 is for a leak

	expiring, _ := create(t, ring, func(in *keys.Request) { in.ExpiresAt = new(now.now().Add(10 * time.Minute)) })
	now.forward(4 * time.Minute)
	old, next, _, err = ring.Rotate(t.Context(), cli(), expiring.ID, 24*time.Hour)
	if err != nil || !old.ExpiresAt.Equal(expiring.ExpiresAt) {
		t.Errorf("the grace extends the key's own expiry to %v: %v", old.ExpiresAt, err)
	}
	if want := now.now().Add(10 * time.Minute); !next.ExpiresAt.Equal(want) {
		t.Errorf("a key for ten minutes is followed by one until %v, want %v", next.ExpiresAt, want)
	}

	disabled, _ := create(t, ring)
	if _, err := ring.SetState(t.Context(), cli(), disabled.ID, keys.Disabled); err != nil {
		t.Fatal(err)
	}
	if _, next, _, err := ring.Rotate(t.Context(), cli(), disabled.ID, 0); err != nil || next.State != keys.Disabled {
		t.Errorf("rotating a disabled key enables it: %v %v", next.State, err)
	}
}

// An instance whose clock is behind would still accept a key that only expires.
func TestRotateWithoutGraceRevokes(t *testing.T) {
	s, now, behind := openStore(t), newClock(), newClock()
	behind.forward(-time.Hour)
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	other := newRing(t, s, func(o *keys.Options) { o.Now = behind.now })
	poll(t, ring)
	poll(t, other)
	leaked, _ := create(t, ring)
	for _, each := range []*keys.Keyring{ring, other} {
		if err := call(each, leaked.ID); err != nil {
			t.Fatal(err)
		}
	}
	old, next, _, err := ring.Rotate(t.Context(), cli(), leaked.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if old.State != keys.Revoked || next.State != keys.Enabled {
		t.Errorf("the old key is %s, the new one %s", old.State, next.State)
	}
	poll(t, other)
	for _, each := range []*keys.Keyring{ring, other} {
		wantCall(t, each, leaked.ID, fault.APITokenIncorrect)
		if err := call(each, next.ID); err != nil {
			t.Errorf("the successor: %v", err)
		}
	}
	if _, err := ring.SetState(t.Context(), cli(), leaked.ID, keys.Enabled); err == nil || fault.CodeOf(err) != fault.Conflict {
		t.Errorf("the leaked key can be enabled: %v", err)
	}
}

func TestRotateRefuses(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	revoked, _ := create(t, ring)
	if _, err := ring.SetState(t.Context(), cli(), revoked.ID, keys.Revoked); err != nil {
		t.Fatal(err)
	}
	expired, _ := create(t, ring, func(in *keys.Request) { in.ExpiresAt = new(now.now().Add(time.Second)) })
	now.forward(time.Second)
	good, _ := create(t, ring)
	tests := []struct {
		name, id string
		grace    time.Duration
		want     fault.Code
	}{
		{"revoked", revoked.ID, 0, fault.Conflict},
		{"expired", expired.ID, 0, fault.Conflict},
		{"unknown", "E0123456789a", 0, fault.NotFound},
		{"no id at all", "E0123456789\x00", 0, fault.NotFound},
		{"a negative grace", good.ID, -time.Second, fault.Invalid},
		{"over 720 hours", good.ID, 720*time.Hour + 1, fault.Invalid},
		{"720 hours", good.ID, 720 * time.Hour, fault.Internal}, // Internal stands for none
	}
	for _, tt := range tests {
		_, _, text, err := ring.Rotate(t.Context(), cli(), tt.id, tt.grace)
		if tt.want == fault.Internal && err == nil {
			continue
		}
		if fault.CodeOf(err) != tt.want || err == nil || text.Reveal() != "" {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestRotateTwiceAtOnce(t *testing.T) {
	s := openStore(t)
	for range 20 {
		record, _ := create(t, newRing(t, s))
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			ring := newRing(t, s)
			both.Go(func() { _, _, _, errs[i] = ring.Rotate(t.Context(), cli(), record.ID, time.Hour) })
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both or none: %v, %v", errs[0], errs[1])
		}
		if lost := errors.Join(errs...); fault.CodeOf(lost) != fault.Conflict {
			t.Errorf("the other: %v", lost)
		}
	}
}

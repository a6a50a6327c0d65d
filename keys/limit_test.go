package keys_test

import (
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

func TestLimitSurvivesChange(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	rate, burst := 0.001, 3
	record, _ := create(t, ring, func(in *keys.Request) { in.Rate, in.Burst = &rate, &burst })
	take := func() keys.Quota {
		t.Helper()
		key, err := ring.Find(record.ID)
		if err != nil {
			t.Fatal(err)
		}
		principal, err := ring.Admit(key)
		if err != nil {
			t.Fatal(err)
		}
		return principal.Take()
	}
	for i := range 3 {
		if q := take(); !q.Limited || !q.Allowed || q.Remaining != 2-i || q.Burst != 3 {
			t.Errorf("request %d: %+v", i, q)
		}
	}
	if q := take(); q.Allowed || q.Wait < 990*time.Second || q.Wait > 1000*time.Second || q.Window != 3000*time.Second {
		t.Errorf("one too many: %+v", q)
	}
	for _, state := range []keys.State{keys.Disabled, keys.Enabled} {
		if _, err := ring.SetState(t.Context(), cli(), record.ID, state); err != nil {
			t.Fatal(err)
		}
	}
	if q := take(); q.Allowed {
		t.Error("disabling and enabling a key gives it a new limit")
	}
}

package keys

import (
	"fmt"
	"testing"

	"github.com/latchkey-api/latchkey/keys/shares"
)

// A key with a high demand that has no place in a full report must not cause an update every time.
func TestShareOfTooManyKeysIsNotUpdated(t *testing.T) {
	for _, tt := range []struct {
		instances, reported int
		want                bool
	}{
		{2, 0, true},
		{2, shares.MaxKeys - 1, true},
		{2, shares.MaxKeys, false},
		{1, 0, false},
	} {
		k := NewKeyring(Options{})
		k.fleetSize, k.shares = tt.instances, shares.Report{}
		for i := range tt.reported {
			k.shares[fmt.Sprint("E", i)] = shares.Entry{}
		}
		k.limits.measured = map[string]*limit{"high": {id: "high", rate: .001, demand: 1}}
		if got := k.measureDemand(); got != tt.want {
			t.Errorf("%d instances, %d keys reported: update %v, want %v", tt.instances, tt.reported, got, tt.want)
		}
	}
}

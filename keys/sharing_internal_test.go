package keys

import (
	"fmt"
	"testing"

	"github.com/latchkey-api/latchkey/keys/shares"
)

// A key that finds no place among those that are divided is no reason to divide at once, again and again.
func TestShareOfTooManyKeysIsNotUpdated(t *testing.T) {
	for _, tt := range []struct {
		instances, said int
		want            bool
	}{
		{2, 0, true},
		{2, shares.MaxKeys - 1, true},
		{2, shares.MaxKeys, false},
		{1, 0, false},
	} {
		k := NewKeyring(Options{})
		k.fleetSize, k.shares = tt.instances, shares.Report{}
		for i := range tt.said {
			k.shares[fmt.Sprint("E", i)] = shares.Entry{}
		}
		k.limits.measured = map[string]*limit{"pressed": {id: "pressed", rate: .001, demand: 1}}
		if got := k.measureDemand(); got != tt.want {
			t.Errorf("%d instances, %d keys divided: news %v, want %v", tt.instances, tt.said, got, tt.want)
		}
	}
}

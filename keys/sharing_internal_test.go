package keys

import (
	"fmt"
	"testing"

	"github.com/latchkey-api/latchkey/keys/shares"
)

// A key that finds no place among those that are divided is no reason to divide at once, again and again.
func TestOnlyWhatCanBeDividedIsNews(t *testing.T) {
	for _, tt := range []struct {
		instances, said int
		want            bool
	}{
		{2, 0, true},
		{2, shares.MaxShares - 1, true},
		{2, shares.MaxShares, false},
		{1, 0, false},
	} {
		k := NewKeyring(Options{})
		k.instances, k.parts = tt.instances, shares.Shares{}
		for i := range tt.said {
			k.parts[fmt.Sprint("E", i)] = shares.Share{}
		}
		k.limits.measured = map[string]*limit{"pressed": {id: "pressed", rate: .001, asked: 1}}
		if got := k.measure(); got != tt.want {
			t.Errorf("%d instances, %d keys divided: news %v, want %v", tt.instances, tt.said, got, tt.want)
		}
	}
}

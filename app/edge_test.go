package app

import (
	"testing"

	"github.com/latchkey-api/latchkey/internal/listener"
)

func TestConcurrencyLeavesDescriptorsFree(t *testing.T) {
	if got := concurrency(); got < 1 || got > maxConnections || got > max(1, listener.Descriptors()/2) {
		t.Errorf("%d connections with %d descriptors", got, listener.Descriptors())
	}
}

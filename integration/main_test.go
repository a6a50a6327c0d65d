package integration

import (
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// TestMain prepares the container engine's library before a test uses it.
func TestMain(m *testing.M) {
	harness.ConfigureContainers()
	m.Run()
}

package integration

import (
	"testing"
)

// TestMain prepares the container engine's library before a test uses it.
func TestMain(m *testing.M) {
	ConfigureContainers()
	m.Run()
}

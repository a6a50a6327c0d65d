package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// TestMain tells testcontainers-go, before it reads its settings, what it cannot find out by itself.
func TestMain(m *testing.M) {
	host := os.Getenv("DOCKER_HOST")
	if local := host == "" || strings.HasPrefix(host, "unix:") || strings.HasPrefix(host, "npipe:"); local {
		// Inside a container that shares the engine's socket it would ask the gateway, where no port is published.
		setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
	//nolint:staticcheck // deprecated as a setting; as the name of the image that this version starts it is right
	if !imageExists(testcontainers.ReaperDefaultImage) {
		// The suite removes its containers by itself; the reaper is only for runs that are killed.
		setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
	}
	m.Run()
}

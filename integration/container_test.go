package integration

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/latchkey-api/latchkey/integration/harness"
)

const (
	maxImageSize = 30_000_000 // bytes
	imageUser    = "65532"
)

// checkImage: the image is small and does not run as root.
func checkImage(t *testing.T, engine *testcontainers.DockerProvider, image string) {
	found, err := engine.Client().ImageInspect(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	if found.Size > maxImageSize {
		t.Errorf("the image has %d bytes, at most %d are allowed", found.Size, maxImageSize)
	}
	if user, _, _ := strings.Cut(found.Config.User, ":"); user != imageUser {
		t.Errorf("the image runs as %q, want %s", found.Config.User, imageUser)
	}
	for _, env := range found.Config.Env {
		if name, _, _ := strings.Cut(env, "="); strings.Contains(name, "KEY") {
			t.Errorf("the image has %s in its environment", name)
		}
	}
	if found.Config.Healthcheck == nil {
		t.Error("the image has no HEALTHCHECK")
	}
}

// checkHealthy: the image's own health check passes, inside the read-only container.
func checkHealthy(t *testing.T, c *harness.Container) {
	harness.Eventually(t, 90*time.Second, "the container is healthy", func() bool {
		state, err := c.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if state.Health == nil {
			t.Fatal("the container has no health check")
		}
		if state.Health.Status == container.Unhealthy {
			t.Fatalf("the container is unhealthy: %+v", state.Health.Log)
		}
		return state.Health.Status == container.Healthy
	})
}

// checkStops: the engine's stop is a success well within the 15 s that the container files give it.
func checkStops(t *testing.T, c *harness.Container) {
	limit := 15 * time.Second
	if err := c.Stop(t.Context(), &limit); err != nil {
		t.Fatal(err)
	}
	state, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if state.ExitCode != 0 || state.OOMKilled {
		t.Errorf("exit code %d, out of memory %v; want 0\n%s", state.ExitCode, state.OOMKilled, harness.Tail(c.Log(t), 2000))
	}
}

// checkVolume: a new container on the same volume has the accounts of the old one.
func checkVolume(t *testing.T, image string) {
	s, volume := harness.FreshSecrets(), "latchkey-"+harness.FreshName()
	first := harness.StartContainerWith(t, image, s, harness.ContainerSpec{Host: harness.MountVolume(volume, nil), Volume: volume})
	want := first.Register(t, harness.Account{Username: harness.FreshName()})
	if err := first.Terminate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	second := harness.StartContainerWith(t, image, s, harness.ContainerSpec{Host: harness.MountVolume(volume, nil), Volume: volume})
	var got harness.Account
	a := second.Do(t, harness.Call{Path: "/service/account/" + want.Username, Token: s.Token()})
	a.Is(t, http.StatusOK, "")
	if a.Decode(t, &got); got != want {
		t.Errorf("registered %+v, in the next container %+v", want, got)
	}
}

// checkForeignVolume: on a volume of another user the service names the folder and the right user, and exits with 1.
func checkForeignVolume(t *testing.T, image string) {
	s, volume := harness.FreshSecrets(), "latchkey-"+harness.FreshName()
	c := harness.RunContainer(t, image, harness.ContainerSpec{
		Env: map[string]string{"API_KEY": s.APIKey, "JWT_SECRET_KEY": s.SecretKey},
		// NoCopy leaves the volume to root.
		Host:   harness.MountVolume(volume, &mount.VolumeOptions{NoCopy: true}),
		Wait:   wait.ForExit().WithExitTimeout(harness.StartTimeout),
		Volume: volume,
	})
	state, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if state.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", state.ExitCode)
	}
	printed := harness.ContainerLog(t, c)
	if !strings.Contains(printed, imageUser) || !strings.Contains(printed, "/data") {
		t.Errorf("the message lacks /data or the uid %s: %s", imageUser, printed)
	}
	if strings.Contains(printed, s.APIKey) || strings.Contains(printed, s.SecretKey) {
		t.Errorf("a secret is printed: %s", printed)
	}
}

// TestContainer builds the image and tests it as a container.
func TestContainer(t *testing.T) {
	if os.Getenv("LATCHKEY_URL") != "" {
		t.Skip("LATCHKEY_URL is set: TestDeployment takes the place of the container")
	}
	engine := harness.ConnectEngine(t)
	image := harness.ContainerImage(t, engine)

	main := harness.StartContainer(t, image, nil)
	t.Run("contract", func(t *testing.T) { checkContract(t, &main.Target) })
	t.Run("health check", func(t *testing.T) { checkHealthy(t, main) })
	t.Run("stop", func(t *testing.T) { checkStops(t, main) })
	t.Run("image", func(t *testing.T) { checkImage(t, engine, image) })
	t.Run("contract on PostgreSQL", func(t *testing.T) { checkContainerOnPostgres(t, image) })
	t.Run("restart", func(t *testing.T) { checkVolume(t, image) })
	t.Run("backup and restore", func(t *testing.T) { checkRestoreInContainer(t, image) })
	t.Run("volume of another user", func(t *testing.T) { checkForeignVolume(t, image) })
}

package harness

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

// ConfigureContainers sets variables of testcontainers-go before it reads them.
func ConfigureContainers() {
	host := os.Getenv("DOCKER_HOST")
	if local := host == "" || strings.HasPrefix(host, "unix:") || strings.HasPrefix(host, "npipe:"); local {
		// In a container that shares the engine's socket, the library would look for published ports at the gateway.
		setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
	//nolint:staticcheck // deprecated as a setting; as the name of the image that this version starts it is right
	if !imageExists(testcontainers.ReaperDefaultImage) {
		// The suite removes its containers by itself; the reaper is only for runs that are killed.
		setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
	}
}

// setDefault sets an environment variable that is not set.
func setDefault(name, value string) {
	if _, set := os.LookupEnv(name); set {
		return
	}
	if err := os.Setenv(name, value); err != nil {
		panic(err) // the names and values here are valid
	}
}

// imageExists looks for an image in the engine, without pulling it.
func imageExists(name string) bool {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return false
	}
	defer engine.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = engine.ImageInspect(ctx, name)
	return err == nil
}

// ConnectEngine connects to the container engine; without one the test ends.
func ConnectEngine(t *testing.T) *testcontainers.DockerProvider {
	t.Helper()
	engine, err := func() (engine *testcontainers.DockerProvider, err error) {
		defer func() {
			if r := recover(); r != nil { // testcontainers panics where it finds no socket
				err = fmt.Errorf("%v", r)
			}
		}()
		return testcontainers.NewDockerProvider(testcontainers.WithLogger(tclog.TestLogger(t)))
	}()
	if err == nil {
		err = engine.Health(t.Context())
	}
	if err != nil {
		Unavailable(t, "no container engine answers, the container suite did not run: %v", err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

// ContainerImage is LATCHKEY_IMAGE, or an image built now from the Dockerfile and removed at the end.
func ContainerImage(t *testing.T, engine *testcontainers.DockerProvider) string {
	t.Helper()
	if image := os.Getenv("LATCHKEY_IMAGE"); image != "" {
		return image
	}
	image, err := engine.BuildImage(t.Context(), &testcontainers.ContainerRequest{
		FromDockerfile: testcontainers.FromDockerfile{
			Context: "..",
			Repo:    "latchkey-integration",
			Tag:     strings.TrimPrefix(FreshName(), "it-"),
			BuildOptionsModifier: func(options *client.ImageBuildOptions) {
				options.Version = build.BuilderBuildKit // the Dockerfile mounts caches
			},
		},
	})
	if err != nil {
		// BuildKit's own log comes in a form that testcontainers does not print.
		t.Fatalf("the image cannot be built (DOCKER_BUILDKIT=1 docker build . in the module root shows why): %v", err)
	}
	t.Cleanup(func() {
		_, err := engine.Client().ImageRemove(context.Background(), image, client.ImageRemoveOptions{PruneChildren: true})
		if err != nil {
			t.Errorf("the built image is left behind: %v", err)
		}
	})
	return image
}

// Container is the service in a container.
type Container struct {
	Target
	testcontainers.Container
}

// ContainerSpec is what a test changes in a container.
type ContainerSpec struct {
	Env    map[string]string
	Host   func(*container.HostConfig)
	Wait   wait.Strategy
	Volume string   // removed with the container
	args   []string // of the program; none means serve
}

// RunContainer starts a hardened container: read-only root, no capabilities, no new privileges. It is removed when the test
// ends.
func RunContainer(t *testing.T, image string, spec ContainerSpec) testcontainers.Container {
	t.Helper()
	ports := []string{"8000/tcp", "9464/tcp"}
	if len(spec.args) > 0 {
		ports = nil
	}
	c, err := testcontainers.GenericContainer(t.Context(), testcontainers.GenericContainerRequest{
		ContainerRequest: testcontainers.ContainerRequest{
			Image:        image,
			Cmd:          spec.args,
			Env:          spec.Env,
			ExposedPorts: ports,
			WaitingFor:   spec.Wait,
			HostConfigModifier: func(hc *container.HostConfig) {
				hc.ReadonlyRootfs = true
				hc.CapDrop = []string{"ALL"}
				hc.SecurityOpt = []string{"no-new-privileges"}
				if spec.Host != nil {
					spec.Host(hc)
				}
			},
		},
		Started: true,
		Logger:  tclog.TestLogger(t),
	})
	t.Cleanup(func() {
		options := []testcontainers.TerminateOption{}
		if spec.Volume != "" {
			options = append(options, testcontainers.RemoveVolumes(spec.Volume))
		}
		if err := testcontainers.TerminateContainer(c, options...); err != nil {
			t.Errorf("a container is left behind: %v", err)
		}
	})
	if err != nil {
		printed := ""
		if c != nil {
			printed = ContainerLog(t, c)
		}
		t.Fatalf("the container did not start: %v\n%s", err, printed)
	}
	return c
}

// StartContainer starts the service in a container and waits until it is ready.
func StartContainer(t *testing.T, image string, settings map[string]string) *Container {
	t.Helper()
	return StartContainerWith(t, image, FreshSecrets(), ContainerSpec{Env: settings})
}

// StartContainerWith is StartContainer with these secrets and this container.
func StartContainerWith(t *testing.T, image string, s Secrets, spec ContainerSpec) *Container {
	t.Helper()
	env := map[string]string{
		"API_KEY":        s.APIKey,
		"JWT_SECRET_KEY": s.SecretKey,
		"MASTER_KEY":     s.MasterKey,
		"DEMO_DATA":      "true",
		"DRAIN_DELAY":    "0s",
	}
	maps.Copy(env, spec.Env)
	spec.Env = env
	if spec.Volume == "" {
		spec.Volume = "latchkey-" + FreshName()
		spec.Host = MountVolume(spec.Volume, nil)
	}
	oneOff := ContainerSpec{Env: spec.Env, Host: spec.Host}
	spec.Wait = wait.ForHTTP("/readyz").WithPort("8000/tcp").WithStartupTimeout(StartTimeout)
	c := &Container{Container: RunContainer(t, image, spec)}
	c.Kind, c.Secrets = "container", s
	c.CLI = func(t *testing.T, args ...string) (stdout, stderr string, code int) {
		oneOff.args = args
		return runOnce(t, image, oneOff)
	}
	c.Log = func(t *testing.T) string { return ContainerLog(t, c) }
	c.Files = func(t *testing.T) map[string]string { return storeFiles(t, c) }
	for port, url := range map[string]*string{"8000/tcp": &c.URL, "9464/tcp": &c.OpsURL} {
		endpoint, err := c.PortEndpoint(t.Context(), port, "http")
		if err != nil {
			t.Fatal(err)
		}
		*url = endpoint
	}
	return c
}

// runOnce runs a command of the program in a container, and waits for its end.
func runOnce(t *testing.T, image string, spec ContainerSpec) (stdout, stderr string, code int) {
	t.Helper()
	spec.Wait = wait.ForExit().WithExitTimeout(StartTimeout).WithPollInterval(20 * time.Millisecond)
	c := RunContainer(t, image, spec)
	state, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	engine, err := testcontainers.NewDockerClientWithOpts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	lines, err := engine.ContainerLogs(t.Context(), c.GetContainerID(), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	var out, errs strings.Builder
	if _, err := stdcopy.StdCopy(&out, &errs, lines); err != nil {
		t.Fatal(err)
	}
	if err := c.Terminate(t.Context()); err != nil {
		t.Errorf("a container is left behind: %v", err)
	}
	return out.String(), errs.String(), state.ExitCode
}

// storeFiles are the files of the container's store, by name.
func storeFiles(t *testing.T, c testcontainers.Container) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range []string{"/data/latchkey.db", "/data/latchkey.db-wal"} {
		file, err := c.CopyFileFromContainer(t.Context(), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = file.Close() // it is a pipe
		files[name] = string(text)
	}
	return files
}

// ContainerLog is what the container has printed.
func ContainerLog(t *testing.T, c testcontainers.Container) string {
	t.Helper()
	lines, err := c.Logs(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Errorf("the container's log cannot be read: %v", err)
		return ""
	}
	defer lines.Close()
	text, err := io.ReadAll(lines)
	if err != nil {
		t.Errorf("the container's log cannot be read: %v", err)
	}
	return string(text)
}

// MountVolume mounts the named volume at /data.
func MountVolume(name string, options *mount.VolumeOptions) func(*container.HostConfig) {
	return func(hc *container.HostConfig) {
		hc.Mounts = append(hc.Mounts, mount.Mount{Type: mount.TypeVolume, Source: name, Target: "/data", VolumeOptions: options})
	}
}

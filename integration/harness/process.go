package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BuildBinary builds the module's root package and gives the program's path.
func BuildBinary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "latchkey")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".")
	build.Dir = ".." // the module root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// Process is the built program, running as a target.
type Process struct {
	Target
	Cmd    *exec.Cmd
	Output *Output
	Exited chan struct{} // closed when the program has ended
}

// ProductionEnv are production settings for a process of a test: free ports, a store in dir.
func ProductionEnv(s Secrets, dir string) map[string]string {
	return map[string]string{
		"APP_ENV":        "production",
		"HOST":           "127.0.0.1",
		"PORT":           "0",
		"OPS_ADDR":       "127.0.0.1:0",
		"API_KEY":        s.APIKey,
		"JWT_SECRET_KEY": s.SecretKey,
		"MASTER_KEY":     s.MasterKey,
		"DATABASE_URL":   "sqlite:" + filepath.ToSlash(filepath.Join(dir, "latchkey.db")),
		"DEMO_DATA":      "true",
		"DRAIN_DELAY":    "0s",
	}
}

// StartProcess starts the program with fresh secrets and its own store, waits until it is ready, and stops it when the
// test ends. The given settings replace those of ProductionEnv.
func StartProcess(t *testing.T, bin string, settings map[string]string) *Process {
	t.Helper()
	dir := t.TempDir()
	return StartProcessIn(t, bin, dir, FreshSecrets(), settings)
}

// StartProcessIn is StartProcess in this folder and with these secrets.
func StartProcessIn(t *testing.T, bin, dir string, s Secrets, settings map[string]string) *Process {
	t.Helper()
	env := ProductionEnv(s, dir)
	maps.Copy(env, settings)
	p := Launch(t, bin, dir, env)
	p.Secrets = s
	p.CLI = func(t *testing.T, args ...string) (stdout, stderr string, code int) {
		return RunCommand(t, bin, dir, env, args...)
	}
	p.Files = func(t *testing.T) map[string]string { return ReadFolder(t, dir) }
	p.WaitReady(t)
	return p
}

// Launch starts the program with exactly this environment, and does not wait until it is ready.
func Launch(t *testing.T, bin, dir string, env map[string]string, args ...string) *Process {
	t.Helper()
	return LaunchInto(t, nil, bin, dir, env, args...)
}

// LaunchInto is Launch with the output written to out; nil means Process.Output.
func LaunchInto(t *testing.T, out *os.File, bin, dir string, env map[string]string, args ...string) *Process {
	t.Helper()
	p := &Process{Cmd: exec.Command(bin, args...), Output: &Output{}, Exited: make(chan struct{})}
	p.Kind = "binary"
	p.Log = func(*testing.T) string { return p.Output.String() }
	p.Cmd.Dir = dir
	p.Cmd.Env = Environment(env)
	p.Cmd.Stdout, p.Cmd.Stderr = p.Output, p.Output
	if out != nil {
		p.Cmd.Stdout, p.Cmd.Stderr = out, out
	}
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.Exited)
		_ = p.Cmd.Wait() // the exit code is read from ProcessState
	}()
	t.Cleanup(func() {
		p.Stop(t)
		if t.Failed() {
			t.Logf("the program's output, last part:\n%s", Tail(p.Output.String(), 4000))
		}
	})
	return p
}

// Environment is env and what any program needs (PATH, HOME ...). Settings of the shell that runs the tests are left out.
func Environment(env map[string]string) []string {
	list := []string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "SYSTEMROOT", "TEMP", "TMP", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			list = append(list, name+"="+value)
		}
	}
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// WaitReady reads the addresses from the first log line and waits until /readyz answers 200.
func (p *Process) WaitReady(t *testing.T) {
	t.Helper()
	var line string
	Eventually(t, StartTimeout, "the first log line", func() bool {
		// A first start in development prints a greeting before the log.
		at := strings.Index("\n"+p.Output.String(), "\n{")
		line = p.Output.String()[max(0, at):]
		complete := at >= 0 && strings.Contains(line, "\n")
		line, _, _ = strings.Cut(line, "\n")
		select {
		case <-p.Exited:
			t.Fatalf("the program ended with code %d:\n%s", p.Cmd.ProcessState.ExitCode(), p.Output)
		default:
		}
		return complete
	})
	var first struct {
		URL    string `json:"url"`
		OpsURL string `json:"ops_url"`
	}
	if err := json.Unmarshal([]byte(line), &first); err != nil || first.URL == "" {
		t.Fatalf("the first log line is not JSON with url: %s", line)
	}
	p.URL, p.OpsURL = strings.TrimSuffix(first.URL, "/"), strings.TrimSuffix(first.OpsURL, "/")
	Eventually(t, StartTimeout, "/readyz answers 200", func() bool {
		a, err := p.Try(t, Call{Path: "/readyz", Unready: true})
		return err == nil && a.Status == 200
	})
}

// Signal sends a signal. On Windows, which has none, it kills the program.
func (p *Process) Signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if runtime.GOOS == "windows" {
		sig = os.Kill
	}
	if err := p.Cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal %v: %v", sig, err)
	}
}

// Stop sends SIGTERM and gives the exit code. The program must end within 15 s, as in a container.
func (p *Process) Stop(t *testing.T) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.Wait(t)
}

// Wait waits for the end of the program and gives its exit code.
func (p *Process) Wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.Exited:
	case <-time.After(15 * time.Second):
		t.Error("the program did not end within 15 s; killed")
		_ = p.Cmd.Process.Kill()
		<-p.Exited
	}
	return p.Cmd.ProcessState.ExitCode()
}

// RunCommand runs the program to its end.
func RunCommand(t *testing.T, bin, dir string, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Dir, cmd.Env = dir, Environment(env)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ReadFolder reads the files of a folder, by name.
func ReadFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(text)
	}
	return files
}

// WhoamiStatus is the status of whoami with this token.
func (p *Process) WhoamiStatus(t *testing.T, token string) int {
	t.Helper()
	a, err := p.Try(t, Call{Path: "/service/whoami", Token: token, Unready: true})
	if err != nil {
		t.Fatal(err)
	}
	return a.Status
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill(t *testing.T) {
	t.Helper()
	if err := p.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.Wait(t)
}

// NeedSignals skips a test where there is no SIGTERM.
func NeedSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: Windows has no SIGTERM")
	}
}

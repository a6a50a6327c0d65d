package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildBinary builds the module's root package and gives the program's path.
func buildBinary(t *testing.T) string {
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

// process is the built program, running as a target.
type process struct {
	target
	cmd    *exec.Cmd
	output *buffer
	exited chan struct{} // closed when the program has ended
}

// productionEnv are the settings of a production process that a test starts: every port free, its own store.
func productionEnv(s secrets, dir string) map[string]string {
	return map[string]string{
		"APP_ENV":        "production",
		"HOST":           "127.0.0.1",
		"PORT":           "0",
		"OPS_ADDR":       "127.0.0.1:0",
		"API_KEY":        s.apiKey,
		"JWT_SECRET_KEY": s.secretKey,
		"MASTER_KEY":     s.masterKey,
		"DATABASE_URL":   "sqlite:" + filepath.ToSlash(filepath.Join(dir, "latchkey.db")),
		"DEMO_DATA":      "true",
		"DRAIN_DELAY":    "0s",
	}
}

// startProcess starts the program with fresh secrets and its own store, waits until it is ready, and stops it when the
// test ends. The given settings replace those of productionEnv.
func startProcess(t *testing.T, bin string, settings map[string]string) *process {
	t.Helper()
	dir := t.TempDir()
	return startProcessIn(t, bin, dir, freshSecrets(), settings)
}

// startProcessIn is startProcess in a folder that the caller chose, with secrets that the caller knows.
func startProcessIn(t *testing.T, bin, dir string, s secrets, settings map[string]string) *process {
	t.Helper()
	env := productionEnv(s, dir)
	maps.Copy(env, settings)
	p := launch(t, bin, dir, env)
	p.secrets = s
	p.cli = func(t *testing.T, args ...string) (stdout, stderr string, code int) {
		return command(t, bin, dir, env, args...)
	}
	p.files = func(t *testing.T) map[string]string { return contents(t, dir) }
	p.waitReady(t)
	return p
}

// launch runs the program with exactly this environment and reads no further than its being started.
func launch(t *testing.T, bin, dir string, env map[string]string, args ...string) *process {
	t.Helper()
	return launchInto(t, nil, bin, dir, env, args...)
}

// launchInto is launch with the output to where the test says, nil for the process's own buffer.
func launchInto(t *testing.T, out *os.File, bin, dir string, env map[string]string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(bin, args...), output: &buffer{}, exited: make(chan struct{})}
	p.kind = "binary"
	p.log = func(*testing.T) string { return p.output.String() }
	p.cmd.Dir = dir
	p.cmd.Env = environment(env)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if out != nil {
		p.cmd.Stdout, p.cmd.Stderr = out, out
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // the exit code is read from ProcessState
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("the program's output, last part:\n%s", tail(p.output.String(), 4000))
		}
	})
	return p
}

// environment is env and the little that any program needs, and nothing else of this process: a setting in the shell
// that runs the tests must not change them.
func environment(env map[string]string) []string {
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

// waitReady reads the addresses from the first log line and waits until /readyz answers 200.
func (p *process) waitReady(t *testing.T) {
	t.Helper()
	var line string
	eventually(t, startLimit, "the first log line", func() bool {
		// A first start in development says more, before the log and not as a part of it.
		at := strings.Index("\n"+p.output.String(), "\n{")
		line = p.output.String()[max(0, at):]
		complete := at >= 0 && strings.Contains(line, "\n")
		line, _, _ = strings.Cut(line, "\n")
		select {
		case <-p.exited:
			t.Fatalf("the program ended with code %d:\n%s", p.cmd.ProcessState.ExitCode(), p.output)
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
	p.url, p.opsURL = strings.TrimSuffix(first.URL, "/"), strings.TrimSuffix(first.OpsURL, "/")
	eventually(t, startLimit, "/readyz answers 200", func() bool {
		a, err := p.try(t, call{path: "/readyz", unready: true})
		return err == nil && a.status == 200
	})
}

// signal asks the program to end; Windows has no such signal, there it is killed.
func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if runtime.GOOS == "windows" {
		sig = os.Kill
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal %v: %v", sig, err)
	}
}

// stop ends the program, which must not take longer than a container engine waits, and gives its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	return p.wait(t)
}

// wait gives the exit code of the program once it has ended.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(15 * time.Second):
		t.Error("the program did not end within 15 s; killed")
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return p.cmd.ProcessState.ExitCode()
}

// command runs the program to its end and gives its output and exit code.
func command(t *testing.T, bin, dir string, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Dir, cmd.Env = dir, environment(env)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// contents are the files of a folder, by name.
func contents(t *testing.T, dir string) map[string]string {
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

// tail is the end of text, at most n bytes.
func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return fmt.Sprintf("[%d bytes left out]\n%s", len(text)-n, text[len(text)-n:])
}

// buffer is a bytes.Buffer that a program fills while a test reads it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// whoami is the status of a request with this token.
func (p *process) whoami(t *testing.T, token string) int {
	t.Helper()
	a, err := p.try(t, call{path: "/service/whoami", token: token, unready: true})
	if err != nil {
		t.Fatal(err)
	}
	return a.status
}

// kill ends the program without warning.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
}

// needSignals ends a test on systems that cannot ask a program to end.
func needSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: Windows has no SIGTERM")
	}
}

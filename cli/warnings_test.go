package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/latchkey-api/latchkey/configs"
)

// shared is a .env for compose that also has a setting of ours.
const shared = "POSTGRES_PASSWORD=hush\nTZ=Europe/Berlin # here\nCOMPOSE_PROJECT_NAME=x\nJWT_LEEWAY=10s\nMIIhush=\n"

func TestDotenvSharedWithCompose(t *testing.T) {
	dir := inEmptyFolder(t)
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(shared), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"migrate"}, {"keys", "list"}, {"openapi"}, {"init"}, {"config"}} {
		if code, _, stderr := run(t, args...); code != 0 || strings.Contains(stderr, "hush") {
			t.Errorf("%v: exit code %d, says %q", args, code, stderr)
		}
	}
	_, table, _ := run(t, "config")
	for _, want := range []string{
		"POSTGRES_PASSWORD (ignored: no setting of this service) .env:1", "TZ (ignored", "COMPOSE_PROJECT_NAME (ignored", "(not shown) (ignored",
		"JWT_LEEWAY 10s .env:4",
	} {
		if !strings.Contains(strings.Join(strings.Fields(table), " "), want) {
			t.Errorf("config does not list %q:\n%s", want, table)
		}
	}
	_, text, _ := run(t, "config", "--json")
	var settings []configs.Setting
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		t.Fatal(err)
	}
	ignored := 0
	for _, s := range settings {
		if s.Ignored {
			ignored++
		}
	}
	if ignored != 4 || len(settings) != len(configs.Names())+4 {
		t.Errorf("%d of %d settings are ignored", ignored, len(settings))
	}
	if strings.Contains(table+text, "hush") || strings.Contains(table+text, "Berlin") {
		t.Errorf("a value of another program is printed:\n%s%s", table, text)
	}
}

func TestWarnings(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mode says nothing of others here")
	}
	dir := inEmptyFolder(t)
	for folder := dir; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(os.TempDir()); err != nil || info.Mode()&1 == 0 {
		t.Skip("nobody else may enter the folder of temporary files")
	}
	if code, _, stderr := run(t, "init"); code != 0 || strings.Contains(stderr, "Warning") {
		t.Fatalf("init: %d %s", code, stderr)
	}
	if _, _, stderr := run(t, "config"); stderr != "" {
		t.Errorf("a fresh .env is not well: %s", stderr)
	}
	if err := os.Chmod(".env", 0o644); err != nil {
		t.Fatal(err)
	}
	const want = ".env can be read by every user of this machine: chmod 600 .env"
	if code, _, stderr := run(t, "config"); code != 0 || stderr != "Warning: "+want+"\n" {
		t.Errorf("config: exit code %d, says %q", code, stderr)
	}
	code, _, stderr := run(t, "config", "--database-url=postgres://u:hush@db/n?keepalives=1")
	if code != 0 || strings.Count(stderr, "Warning: ") != 3 || strings.Contains(stderr, "hush") {
		t.Errorf("config: exit code %d, says %q", code, stderr)
	}

	// The first line is still the one with the address.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr2 bytes.Buffer
	log := &stopAt{text: "chmod 600", stop: cancel}
	if code := Main(ctx, []string{"latchkey", "--port=0", "--ops-addr=", "--log-format=json"}, log, &stderr2); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr2.String())
	}
	first, _, _ := strings.Cut(log.String(), "\n")
	if !strings.Contains(first, `"url":"http`) || !strings.Contains(log.String(), `"level":"WARN","msg":"`+want+`"`) {
		t.Errorf("the log:\n%s", log)
	}
}

// stopAt is a log that stops the server when it contains text.
type stopAt struct {
	text string
	stop func()

	mu  sync.Mutex
	all bytes.Buffer
}

func (s *stopAt) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Contains(p, []byte(s.text)) {
		s.stop()
	}
	return s.all.Write(p)
}

func (s *stopAt) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

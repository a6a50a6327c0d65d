package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// stopMargin is for a stop beyond DRAIN_DELAY and SHUTDOWN_TIMEOUT: last writes, and closing the store.
const stopMargin = 3 * time.Second

// problems of a file, one sentence each.
type problems []string

func (p *problems) unless(holds bool, format string, args ...any) {
	if !holds {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

// mutation is one mistake in a file, and a part of the problem that the check must report for it.
type mutation struct{ old, new, says string }

// seen demands that a file has no problems, and with each mutation the problem of that mutation.
func seen(t *testing.T, file, text string, mutations []mutation, check func(text string) problems) {
	t.Helper()
	if found := check(text); found != nil {
		t.Errorf("%s: %s", file, strings.Join(found, "\n"))
		return // mutations of a wrong file show nothing
	}
	for _, m := range mutations {
		if !strings.Contains(text, m.old) {
			t.Errorf("%s has no %q to change", file, m.old)
			continue
		}
		if found := check(strings.ReplaceAll(text, m.old, m.new)); !strings.Contains(strings.Join(found, "\n"), m.says) {
			t.Errorf("%s with %q instead of %q: the problems are %q, want one with %q", file, m.new, m.old, found, m.says)
		}
	}
}

// ofLibpq are variables that the driver reads itself.
var ofLibpq = []string{"PGPASSWORD", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT"}

// checkEnv: every name is a setting, and the program starts with these values.
func (p *problems) checkEnv(t *testing.T, bin, who string, env map[string]string) (settings map[string]string) {
	t.Helper()
	settings, refused := harness.ReadSettings(t, bin, env)
	p.unless(refused == "", "%s: the program refuses to start: %s", who, refused)
	p.checkNames(who, env, settings)
	return settings
}

func (p *problems) checkNames(who string, env, settings map[string]string) {
	for name := range env {
		_, known := settings[name]
		p.unless(known || slices.Contains(ofLibpq, name), "%s: %s is no setting", who, name)
	}
}

// checkStop: the time for a stop is enough for DRAIN_DELAY and SHUTDOWN_TIMEOUT.
func (p *problems) checkStop(t *testing.T, who string, given time.Duration, settings map[string]string) {
	t.Helper()
	drain, err := time.ParseDuration(settings["DRAIN_DELAY"])
	if err != nil {
		t.Fatal(err)
	}
	shutdown, err := time.ParseDuration(settings["SHUTDOWN_TIMEOUT"])
	if err != nil {
		t.Fatal(err)
	}
	p.unless(drain > 0, "%s: without a DRAIN_DELAY no proxy notices the stop in time", who)
	p.unless(given >= drain+shutdown+stopMargin, "%s: a stop is given %s, and may take %s", who, given, drain+shutdown+stopMargin)
}

// checkRegisteredAlone: without a shared key the program says how to create the first key, and starts when there is one.
func checkRegisteredAlone(t *testing.T, bin string, env map[string]string) {
	t.Helper()
	all := harness.ReadDockerfile(t).Env
	maps.Copy(all, env)
	databaseURL, _ := harness.NewDatabase(t)
	maps.Copy(all, map[string]string{"DATABASE_URL": databaseURL, "HOST": "127.0.0.1", "PORT": "0", "OPS_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "0s"})
	if _, stderr, code := harness.RunCommand(t, bin, t.TempDir(), all); code != 1 || !strings.Contains(stderr, "latchkey keys create") {
		t.Errorf("a start without any key: exit code %d, says %s", code, stderr)
	}
	if _, stderr, code := harness.RunCommand(t, bin, t.TempDir(), all, "keys", "create", "--client", "operations", "--scope", "keys:admin"); code != 0 {
		t.Errorf("the first key: exit code %d, says %s", code, stderr)
	}
	harness.Launch(t, bin, t.TempDir(), all).WaitReady(t)
}

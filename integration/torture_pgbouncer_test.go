//go:build torture

package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

func TestTorturePgBouncer(t *testing.T) {
	bin := tortureBinary(t)
	databaseURL, _ := harness.NewDatabase(t)
	fleet := harness.StartFleetWithoutAdmin(t, bin, harness.StartPgBouncer(t, databaseURL, "transaction"), harness.StartPgBouncer(t, databaseURL, "transaction"))
	// Its administrator is made without the pooler, so that a program that fails behind one comes to the load.
	env := harness.ProductionEnv(fleet[0].Secrets, t.TempDir())
	env["DATABASE_URL"] = databaseURL
	text, stderr, _ := harness.RunCommand(t, bin, t.TempDir(), env, "keys", "create", "--client", "operations", "--scope", "keys:admin")
	if text == "" {
		t.Fatal(stderr)
	}
	fleet[0].Admin = harness.ParseKey(t, strings.TrimSpace(text), fleet[0].Secrets.Audience)
	load := poolerLoad{keys: 100, requests: 20_600}
	began := time.Now()
	load.run(t, fleet)
	tortureRow(t, "two instances through PgBouncer in transaction mode, the URL without parameters",
		"100 keys made, used, revoked with wait=true and confirmed by both; 20000 requests, 0 failed",
		load.String()+" in "+time.Since(began).Round(time.Second).String()+load.first,
		load.failed.Load() == 0 && load.confirmed.Load() == 100 && load.sent.Load() >= 20_000)
}

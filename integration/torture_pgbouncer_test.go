//go:build torture

package integration

import (
	"testing"
	"time"
)

func TestTorturePgBouncer(t *testing.T) {
	bin := buildBinary(t)
	databaseURL, _ := newDatabase(t)
	fleet := startFleet(t, bin, startPgBouncer(t, databaseURL, "transaction"), startPgBouncer(t, databaseURL, "transaction"))
	load := poolerLoad{keys: 100, requests: 20_600}
	began := time.Now()
	load.run(t, fleet)
	tortureRow(t, "two instances through PgBouncer in transaction mode, the URL without parameters",
		"100 keys made, used, revoked with wait=true and confirmed by both; 20000 requests, 0 failed",
		load.String()+" in "+time.Since(began).Round(time.Second).String()+load.first,
		load.failed.Load() == 0 && load.confirmed.Load() == 100 && load.sent.Load() >= 20_000)
}

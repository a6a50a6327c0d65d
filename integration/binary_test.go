package integration

import (
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// TestBinary builds the program and tests it as a process.
func TestBinary(t *testing.T) {
	bin := harness.BuildBinary(t)
	t.Run("contract", func(t *testing.T) { checkContract(t, &harness.StartProcess(t, bin, nil).Target) })
	t.Run("contract without token cache", func(t *testing.T) {
		checkContract(t, &harness.StartProcess(t, bin, map[string]string{"TOKEN_CACHE_SIZE": "0"}).Target)
	})
	for _, tt := range []struct {
		name  string
		check func(*testing.T, string)
	}{
		{"contract on PostgreSQL", checkPostgres},
		{"faults of PostgreSQL", checkFaults},
		{"PgBouncer", checkPgBouncer},
		{"first start", checkFirstStart},
		{"restart", checkRestart},
		{"backup and restore", checkRestore},
		{"two processes on one store", checkTwoProcesses},
		{"rolling restarts", checkRollingRestarts},
		{"signals", checkSignals},
		{"drain", checkDrain},
		{"standard output gone", checkOutputGone},
		{"standard output blocked", checkOutputBlocked},
		{"standard output resumed", checkOutputResumed},
		{"SIGHUP", checkHangup},
		{"idle connections", checkIdle},
		{"request during a stop", checkRequestUnderWay},
		{"optional audience", checkAudienceOptional},
		{"previous secret", checkPreviousSecret},
		{"algorithm", checkAlgorithm},
		{"CORS", checkCORS},
		{"docs switched off", checkDocsOff},
		{"refused start", checkRefusesToStart},
		{"registered keys alone", checkRegisteredKeysAlone},
		{"master key", checkMasterKey},
		{"cached token expires", checkWarmTokenExpires},
		{"environment of keys", checkOtherEnvironment},
		{"revocation in a fleet", checkFleetRevocation},
		{"limit in a fleet", checkFleetLimit},
		{"older instance", checkOlderInstance},
		{"a full disk", checkFullDisk},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, bin) })
	}
}

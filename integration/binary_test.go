package integration

import (
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// TestBinary builds the program and proves it as a process.
func TestBinary(t *testing.T) {
	bin := harness.BuildBinary(t)
	t.Run("contract", func(t *testing.T) { checkContract(t, &harness.StartProcess(t, bin, nil).Target) })
	t.Run("contract without the token cache", func(t *testing.T) {
		checkContract(t, &harness.StartProcess(t, bin, map[string]string{"TOKEN_CACHE_SIZE": "0"}).Target)
	})
	for _, tt := range []struct {
		name  string
		check func(*testing.T, string)
	}{
		{"contract on PostgreSQL", checkPostgres},
		{"faults of PostgreSQL", checkFaults},
		{"PostgreSQL through PgBouncer", checkPgBouncer},
		{"first start in an empty folder", checkFirstStart},
		{"a restart keeps accounts", checkRestart},
		{"backup and restore", checkRestore},
		{"two processes on one store", checkTwoProcesses},
		{"rolling restarts", checkRollingRestarts},
		{"SIGTERM and SIGINT exit 0", checkSignals},
		{"drain", checkDrain},
		{"standard output whose reader is gone", checkOutputGone},
		{"standard output that nobody reads", checkOutputBlocked},
		{"standard output that is read again", checkOutputResumed},
		{"SIGHUP", checkHangup},
		{"idle connections", checkIdle},
		{"a request under way is answered", checkRequestUnderWay},
		{"tokens without audience where allowed", checkAudienceOptional},
		{"the previous secret still verifies", checkPreviousSecret},
		{"another algorithm", checkAlgorithm},
		{"CORS", checkCORS},
		{"docs switched off", checkDocsOff},
		{"refuses to start", checkRefusesToStart},
		{"registered keys alone", checkRegisteredKeysAlone},
		{"master key", checkMasterKey},
		{"a warm token expires", checkWarmTokenExpires},
		{"keys of the other environment", checkOtherEnvironment},
		{"revocation reaches every instance", checkFleetRevocation},
		{"limits hold for all instances", checkFleetLimit},
		{"an older instance", checkOlderInstance},
		{"a full disk", checkFullDisk},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, bin) })
	}
}

package integration

import (
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// contract is what every caller may rely on, whatever runs the service. The access log comes first: the refusals of the
// later checks exceed what the service logs one by one. The last ones look back over the whole run.
var contract = []struct {
	name  string
	check func(*testing.T, *harness.Target)
}{
	{"access log", checkAccessLog},
	{"probes write no line", checkProbesWriteNoLine},
	{"documentation is complete", checkDocumentation},
	{"every guarded operation accepts", checkAcceptance},
	{"every guarded operation refuses", checkRefusals},
	{"every guarded operation needs its scope", checkScopes},
	{"order of refusals", checkOrder},
	{"order inside the guard", checkGuardOrder},
	{"a key signs for itself alone", checkOtherKeys},
	{"journey", checkJourney},
	{"limits", checkLimits},
	{"rotation", checkRotation},
	{"disable and enable", checkDisable},
	{"revocation", checkRevocation},
	{"lists of keys", checkKeyLists},
	{"audit", checkAudit},
	{"bad input about keys", checkKeyInput},
	{"explain", checkExplain},
	{"routing", checkRouting},
	{"methods", checkMethods},
	{"both spellings of a path", checkSlashes},
	{"HEAD", checkHead},
	{"paths are decoded once", checkPaths},
	{"request id", checkRequestID},
	{"open routes", checkOpenRoutes},
	{"whoami", checkWhoami},
	{"accounts", checkAccounts},
	{"storyspaces", checkStoryspaces},
	{"bodies", checkBodies},
	{"fields", checkFields},
	{"lists", checkLists},
	{"edge", checkEdge},
	{"hosts", checkHosts},
	{"size limits", checkSizeLimits},
	{"metrics", checkMetrics},
	{"documentation is sent once", checkConditional},
	{"documentation is sent once, in raw bytes", checkConditionalRaw},
	{"docs follow no link to another host", checkDocsReferences},
	{"docs in a browser", checkDocsInBrowser},
	{"openssl token", checkOpenSSLToken},
	{"openssl tokens of registered keys", checkOpenSSLKeys},
	{"nothing secret in the log", checkLogKeepsSecrets},
	{"nothing secret in the store", checkFilesKeepSecrets},
}

// checkContract checks the whole contract on one target.
func checkContract(t *testing.T, tg *harness.Target) {
	tg.Enroll(t)
	for _, promise := range contract {
		t.Run(promise.name, func(t *testing.T) { promise.check(t, tg) })
	}
}

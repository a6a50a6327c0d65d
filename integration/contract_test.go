package integration

import (
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// contract is what every caller may rely on, whatever runs the service. The order matters twice:
//   - the access log is first: later checks cause more refusals than the service logs one by one
//   - the last checks search the log and the store of the whole run for secrets
var contract = []struct {
	name  string
	check func(*testing.T, *harness.Target)
}{
	{"access log", checkAccessLog},
	{"access log without probes", checkProbesWriteNoLine},
	{"documentation", checkDocumentation},
	{"guard accepts", checkAcceptance},
	{"guard refuses", checkRefusals},
	{"scopes", checkScopes},
	{"order of refusals", checkOrder},
	{"order of refusals in the guard", checkGuardOrder},
	{"keys sign for themselves alone", checkOtherKeys},
	{"key life", checkJourney},
	{"rate limit", checkLimits},
	{"rotation", checkRotation},
	{"disable and enable", checkDisable},
	{"revocation", checkRevocation},
	{"key lists", checkKeyLists},
	{"audit", checkAudit},
	{"key input", checkKeyInput},
	{"explain", checkExplain},
	{"routing", checkRouting},
	{"methods", checkMethods},
	{"trailing slash", checkSlashes},
	{"HEAD", checkHead},
	{"path decoding", checkPaths},
	{"request id", checkRequestID},
	{"open routes", checkOpenRoutes},
	{"whoami", checkWhoami},
	{"accounts", checkAccounts},
	{"storyspaces", checkStoryspaces},
	{"bodies", checkBodies},
	{"fields", checkFields},
	{"pages of lists", checkLists},
	{"edge", checkEdge},
	{"hosts", checkHosts},
	{"sizes", checkSizes},
	{"metrics", checkMetrics},
	{"documentation ETag", checkConditional},
	{"documentation ETag in raw bytes", checkConditionalRaw},
	{"docs references", checkDocsReferences},
	{"docs in a browser", checkDocsInBrowser},
	{"openssl token", checkOpenSSLToken},
	{"openssl tokens of registered keys", checkOpenSSLKeys},
	{"secrets in the log", checkLogKeepsSecrets},
	{"secrets in the store", checkFilesKeepSecrets},
}

// checkContract checks the contract on one target.
func checkContract(t *testing.T, tg *harness.Target) {
	tg.Enroll(t)
	for _, promise := range contract {
		t.Run(promise.name, func(t *testing.T) { promise.check(t, tg) })
	}
}

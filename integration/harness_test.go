package integration

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// startLimit bounds every wait for something a healthy program does within a second or two.
const startLimit = 20 * time.Second

// target is one running service.
type target struct {
	kind    string // "binary", "container" or "deployment"
	url     string // without a trailing slash
	opsURL  string // "" where it cannot be reached
	secrets secrets
	// cli runs the program as a process of its own, with the service's settings and store; nil where that cannot be done.
	cli func(t *testing.T, args ...string) (stdout, stderr string, code int)
	// files are what the service has written, by name; nil where they cannot be read.
	files func(t *testing.T) map[string]string
	// log is everything the service has printed so far; nil where it cannot be read.
	log func(t *testing.T) string

	admin clientKey            // has the scope keys:admin and no other; of the zero value where there is none
	every map[string]clientKey // by kind: has every scope
	over  map[string]clientKey // see retired

	mu   sync.Mutex
	sent map[string]bool // every text in a request that must never be printed or answered
}

// contract is what every caller may rely on, whatever runs the service. The access log comes first: the refusals of the
// later checks exceed what the service logs one by one. The last ones look back over the whole run.
var contract = []struct {
	name  string
	check func(*testing.T, *target)
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

// keepsContract checks the whole contract on one target.
func (tg *target) keepsContract(t *testing.T) {
	tg.enroll(t)
	for _, promise := range contract {
		t.Run(promise.name, func(t *testing.T) { promise.check(t, tg) })
	}
}

// local says that nothing stands between the suite and the service, so that raw bytes reach it as they are sent.
func (tg *target) local() bool { return tg.kind != "deployment" }

// remember keeps text, of at least 20 bytes, to be looked for in what the service wrote.
func (tg *target) remember(text string) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	if tg.sent == nil {
		tg.sent = map[string]bool{}
	}
	tg.sent[text] = true
}

// leaks are the places in text where something secret stands, and what: all that was remembered, and the target's own
// secrets. There are far more of them than one could search for one by one.
func (tg *target) leaks(text string) map[int]string {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	const window = 20 // nothing that is remembered is shorter
	begin := map[string][]string{}
	for secret := range tg.sent {
		begin[secret[:window]] = append(begin[secret[:window]], secret)
	}
	for _, secret := range []string{tg.secrets.apiKey, tg.secrets.secretKey, tg.secrets.masterKey} {
		if secret == "" {
			continue
		}
		begin[secret[:window]] = append(begin[secret[:window]], secret)
	}
	found := map[int]string{}
	for at := range max(0, len(text)-window+1) {
		for _, secret := range begin[text[at:at+window]] {
			if strings.HasPrefix(text[at:], secret) {
				found[at] = secret
			}
		}
	}
	return found
}

// TestDeployment checks the contract on the service at LATCHKEY_URL.
func TestDeployment(t *testing.T) {
	url := os.Getenv("LATCHKEY_URL")
	if url == "" {
		t.Skip("LATCHKEY_URL is not set: the suite starts its own targets")
	}
	setting := func(name, absent string) string {
		for _, name := range []string{"LATCHKEY_" + name, name} {
			if value := os.Getenv(name); value != "" {
				return value
			}
		}
		return absent
	}
	tg := &target{
		kind:   "deployment",
		url:    strings.TrimSuffix(url, "/"),
		opsURL: strings.TrimSuffix(os.Getenv("LATCHKEY_OPS_URL"), "/"),
		secrets: secrets{
			apiKey:    setting("API_KEY", ""),
			secretKey: setting("JWT_SECRET_KEY", ""),
			audience:  setting("JWT_AUDIENCE", "latchkey-api"),
		},
	}
	if tg.secrets.apiKey == "" || tg.secrets.secretKey == "" {
		t.Fatal("LATCHKEY_URL is set, but not LATCHKEY_API_KEY and LATCHKEY_JWT_SECRET_KEY")
	}
	if text := setting("ADMIN_KEY", ""); text != "" {
		tg.admin = readKey(t, text, tg.secrets.audience)
		tg.rememberKey(t, text)
	}
	tg.keepsContract(t)
}

// freshSecrets are secrets that production accepts and that nothing else uses.
func freshSecrets() secrets {
	// Three texts of 26 characters: long enough for HS512, which asks for 64 bytes.
	master := make([]byte, 32)
	_, _ = rand.Read(master) // never fails
	return secrets{
		apiKey:    rand.Text(),
		secretKey: rand.Text() + rand.Text() + rand.Text(),
		audience:  "latchkey-api",
		masterKey: base64.StdEncoding.EncodeToString(master),
	}
}

// freshName is a username that no account has.
func freshName() string { return "it-" + strings.ToLower(rand.Text()) }

// unavailable ends the test because something outside the repository is missing: as a failure where CI=true, because
// there it must be present, and otherwise as a skip that says what was not tested.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true: "+format, args...)
	}
	t.Skipf("NOT TESTED: "+format, args...)
}

// eventually waits until done says true, and fails the test when that takes longer than limit.
func eventually(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

package harness

import (
	"strings"
	"sync"
	"testing"
)

// Target is one running service.
type Target struct {
	Kind    string // "binary", "container" or "deployment"
	URL     string // without a trailing slash
	OpsURL  string // "" where it cannot be reached
	Secrets Secrets
	// cli runs the program as a process of its own, with the service's settings and store; nil where that cannot be done.
	CLI func(t *testing.T, args ...string) (stdout, stderr string, code int)
	// files are what the service has written, by name; nil where they cannot be read.
	Files func(t *testing.T) map[string]string
	// log is everything the service has printed so far; nil where it cannot be read.
	Log func(t *testing.T) string

	Admin       Key            // has the scope keys:admin and no other; of the zero value where there is none
	FullKeys    map[string]Key // by kind: has every scope
	retiredKeys map[string]Key // see retired

	mu   sync.Mutex
	sent map[string]bool // every text in a request that must never be printed or answered
}

// IsLocal says that nothing stands between the suite and the service, so that raw bytes reach it as they are sent.
func (tg *Target) IsLocal() bool { return tg.Kind != "deployment" }

// remember keeps text, of at least 20 bytes, to be looked for in what the service wrote.
func (tg *Target) remember(text string) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	if tg.sent == nil {
		tg.sent = map[string]bool{}
	}
	tg.sent[text] = true
}

// Leaks are the places in text where something secret stands, and what: all that was remembered, and the target's own
// secrets. There are far more of them than one could search for one by one.
func (tg *Target) Leaks(text string) map[int]string {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	const window = 20 // nothing that is remembered is shorter
	begin := map[string][]string{}
	for secret := range tg.sent {
		begin[secret[:window]] = append(begin[secret[:window]], secret)
	}
	for _, secret := range []string{tg.Secrets.APIKey, tg.Secrets.SecretKey, tg.Secrets.MasterKey} {
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

// RememberKey keeps every form of a key's secret half to be looked for at the end.
func (tg *Target) RememberKey(t *testing.T, text string) {
	t.Helper()
	key := ParseKey(t, text, "")
	tg.remember(text)
	tg.remember(KeyString.FindStringSubmatch(text)[3])
	if key.Seed != nil {
		tg.remember(string(key.Seed))
	}
}

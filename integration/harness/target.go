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
	// CLI runs the program as another process, with the settings and the store of the service; nil for a deployment.
	CLI func(t *testing.T, args ...string) (stdout, stderr string, code int)
	// Files are the files (or tables) of the store, by name; nil where they cannot be read.
	Files func(t *testing.T) map[string]string
	// Log is what the service has printed so far; nil where it cannot be read.
	Log func(t *testing.T) string

	Admin       Key            // has only the scope keys:admin; zero where there is none
	FullKeys    map[string]Key // by kind: has every scope
	retiredKeys map[string]Key // see RetiredKeys

	mu   sync.Mutex
	sent map[string]bool // secret texts of requests, for Leaks
}

// IsLocal reports whether no proxy can stand between the suite and the service: raw bytes arrive as they are sent.
func (tg *Target) IsLocal() bool { return tg.Kind != "deployment" }

// remember keeps a secret text of at least 20 bytes for Leaks.
func (tg *Target) remember(text string) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	if tg.sent == nil {
		tg.sent = map[string]bool{}
	}
	tg.sent[text] = true
}

// Leaks finds secrets in text: those of the target, and all that were remembered. It gives each secret by its position. They
// are too many to search for one by one, so the first 20 bytes are an index.
func (tg *Target) Leaks(text string) map[int]string {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	const window = 20 // no remembered text is shorter
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

// RememberKey keeps every form of a key's secret for Leaks.
func (tg *Target) RememberKey(t *testing.T, text string) {
	t.Helper()
	key := ParseKey(t, text, "")
	tg.remember(text)
	tg.remember(KeyString.FindStringSubmatch(text)[3])
	if key.Seed != nil {
		tg.remember(string(key.Seed))
	}
}

package integration

import (
	"strings"
	"sync"
	"testing"
)

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

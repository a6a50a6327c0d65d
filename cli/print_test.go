package cli

import (
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/configs"
)

// TestKeysSayWhatTheStoreKeeps: of an hs256 key it keeps the whole string, sealed.
func TestKeysSayWhatTheStoreKeeps(t *testing.T) {
	inEmptyFolder(t)
	t.Setenv("MASTER_KEY", configs.FreshSecrets().MasterKey.Reveal())
	for kind, want := range map[string]string{
		"ed25519": "the store keeps only the public key", "hs256": "the store keeps it sealed under MASTER_KEY",
	} {
		code, text, stderr := run(t, "keys", "create", "--client=acme", "--scope=accounts:read", "--kind="+kind)
		if code != 0 || !strings.Contains(stderr, want) || strings.Contains(stderr, "nowhere") {
			t.Errorf("%s: exit code %d, says %s", kind, code, stderr)
		}
		id := strings.Split(text, "_")[2]
		if code, _, stderr := run(t, "keys", "rotate", id); code != 0 || !strings.Contains(stderr, want) {
			t.Errorf("rotate %s: exit code %d, says %s", kind, code, stderr)
		}
	}
}

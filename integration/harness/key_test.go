package harness

import (
	"crypto/ed25519"
	"hash/crc32"
	"math/big"
	"testing"
)

func TestParseKey(t *testing.T) {
	// A value of 32 bytes that ends in 1, so that base62, padding and the order of the digits all matter.
	n := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(35), 240), big.NewInt(1))
	body := "lk_live_E0123456789a_" + base62(n, 43)
	text := body + base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), 6)
	key := ParseKey(t, text, "latchkey-api")
	if key.ID != "E0123456789a" || key.Env != "live" || new(big.Int).SetBytes(key.Seed).Cmp(n) != 0 {
		t.Errorf("%q is read as %+v", text, key)
	}
	if !ed25519.Verify(key.Public(), []byte("x"), []byte(key.Signature("x"))) {
		t.Error("the signature does not verify")
	}
	if got := base62(big.NewInt(61*62+36), 3); got != "0za" {
		t.Errorf("base62 gives %q, want 0za", got)
	}
}

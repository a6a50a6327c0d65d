package keystring_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/keys/keystring"
)

// What another program, given the format alone, makes of the secret bytes 0, 1, ... 31, and of the ends of the range.
const (
	known    = "lk_test_E0123456789A_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2l1rZ3"
	largest  = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1" // 2^256 - 1
	overflow = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp2" // 2^256
)

func TestFormatIsDocumented(t *testing.T) {
	key, err := keystring.Parse(known)
	if err != nil {
		t.Fatal(err)
	}
	private, _ := key.PrivateKey()
	for i, b := range private.Seed() {
		if int(b) != i {
			t.Fatalf("byte %d of the secret is %d", i, b)
		}
	}
	if key.ID() != "E0123456789A" || key.Environment() != keystring.Test || key.Kind() != keystring.Ed25519 {
		t.Errorf("read %v %v %v", key.ID(), key.Environment(), key.Kind())
	}
}

// withChecksum adds the checksum, in base62 done another way than the package does it.
func withChecksum(body string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, text := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		text, sum = string(digits[sum%62])+text, sum/62
	}
	return body + text
}

func fresh(t testing.TB, env keystring.Environment, kind keystring.Kind) keystring.Key {
	t.Helper()
	key, err := keystring.New(env, kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestParseNewKey(t *testing.T) {
	pattern := regexp.MustCompile(`^` + strings.Trim(keystring.Pattern, `\b`) + `$`)
	seen := map[string]bool{}
	for _, env := range []keystring.Environment{keystring.Live, keystring.Test} {
		for _, kind := range []keystring.Kind{keystring.Ed25519, keystring.HS256} {
			for range 200 {
				key := fresh(t, env, kind)
				text := key.Reveal()
				if len(text) != keystring.Length || !pattern.MatchString(text) || seen[text] || seen[key.ID()] {
					t.Fatalf("a key of %d characters, or one that was there before", len(text))
				}
				seen[text], seen[key.ID()] = true, true
				read, err := keystring.Parse(text)
				if err != nil || read.Reveal() != text || read.Environment() != env || read.Kind() != kind {
					t.Fatalf("read back: %v %v %v", err, read.Environment(), read.Kind())
				}
			}
		}
	}
	for _, wrong := range []struct {
		env  keystring.Environment
		kind keystring.Kind
	}{{"prod", keystring.HS256}, {keystring.Live, "rsa"}, {"", ""}} {
		if _, err := keystring.New(wrong.env, wrong.kind); err == nil {
			t.Errorf("made a key of %v", wrong)
		}
	}
}

func TestParseFindsEveryTypo(t *testing.T) {
	text := fresh(t, keystring.Live, keystring.Ed25519).Reveal()
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-. "
	for i := range text {
		for _, digit := range []byte(digits) {
			if text[i] == digit {
				continue
			}
			if _, err := keystring.Parse(text[:i] + string(digit) + text[i+1:]); err == nil {
				t.Fatalf("character %d replaced by %q is not seen", i, digit)
			}
		}
		if i > 0 && text[i] != text[i-1] {
			swapped := []byte(text)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			if _, err := keystring.Parse(string(swapped)); err == nil {
				t.Errorf("characters %d and %d swapped are not seen", i-1, i)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	text := fresh(t, keystring.Live, keystring.HS256).Reveal()
	id := text[8:20]
	tooLarge := strings.Repeat("z", 43) // 2^256 and more
	for name, wrong := range map[string]string{
		"empty": "", "shorter": text[:69], "longer": text + "0", "a space": text[:69] + " ", "in capitals": strings.ToUpper(text),
		"another prefix": "sk" + text[2:], "another environment": strings.Replace(text, "live", "prod", 1),
		"another kind": strings.Replace(text, "_H", "_X", 1), "dashes": strings.ReplaceAll(text, "_", "-"),
		"not ASCII": text[:68] + "é", "only underscores": strings.Repeat("_", 70),
		"a value of 2^256 or more":  withChecksum("lk_live_" + id + "_" + tooLarge),
		"the first value too large": withChecksum("lk_live_" + id + "_" + overflow),
	} {
		if _, err := keystring.Parse(wrong); err == nil {
			t.Errorf("%s: accepted", name)
		} else if wrong != "" && strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: the error shows the text", name)
		}
	}
	if _, err := keystring.Parse(text[:69] + other(text[69])); !errors.Is(err, keystring.ErrChecksum) {
		t.Errorf("a typing error is called %v", err)
	}
	if _, err := keystring.Parse(withChecksum("lk_live_" + id + "_" + largest)); err != nil {
		t.Errorf("the largest secret there is: %v", err)
	}
}

func other(digit byte) string {
	if digit == '0' {
		return "1"
	}
	return "0"
}

func TestKeyPrintsOnlyHint(t *testing.T) {
	key := fresh(t, keystring.Live, keystring.Ed25519)
	secret := key.Reveal()[21:64]
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", key)
		fmt.Fprintf(&out, verb+"\n", struct{ K keystring.Key }{key})
		fmt.Fprintf(&out, verb+"\n", &key)
		fmt.Fprintf(&out, verb+"\n", struct{ k keystring.Key }{key})
		fmt.Fprintf(&out, verb+"\n", struct{ k *keystring.Key }{&key})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", key)
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", key)
	if err := json.NewEncoder(&out).Encode(key); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), key.Hint()) {
		t.Errorf("printed\n%s", out.String())
	}
	if hint := key.Hint(); hint != key.ID()+"..."+key.Reveal()[66:] {
		t.Errorf("the hint is %s", hint)
	}
	if zero := (keystring.Key{}); zero.Hint() != "" || fmt.Sprint(zero) != "" {
		t.Error("no key has a hint")
	}
}

func TestSigning(t *testing.T) {
	edwards, hmac := fresh(t, keystring.Test, keystring.Ed25519), fresh(t, keystring.Test, keystring.HS256)
	private, ok := edwards.PrivateKey()
	if !ok {
		t.Fatal("an ed25519 key cannot sign")
	}
	text, err := edwards.PEM()
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) != 0 {
		t.Fatalf("no PEM: %q", rest)
	}
	read, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || !private.Equal(read.(ed25519.PrivateKey)) {
		t.Errorf("the PEM holds another key: %v", err)
	}
	secret, ok := hmac.HMACKey()
	if !ok || string(secret) != hmac.Reveal() {
		t.Error("the HMAC key is not the key string")
	}
	if _, ok := edwards.HMACKey(); ok {
		t.Error("an ed25519 key signs with HMAC: its id would be a forger's choice")
	}
	if _, ok := hmac.PrivateKey(); ok {
		t.Error("an hs256 key signs with Ed25519")
	}
	if _, err := hmac.PEM(); err == nil {
		t.Error("an hs256 key has a PEM")
	}
}

func TestKindOf(t *testing.T) {
	for id, want := range map[string]keystring.Kind{
		"E0123456789a": keystring.Ed25519, "HZZZZZZZZZZZ": keystring.HS256,
		"": "", "E": "", "E0123456789": "", "E0123456789ab": "", "X0123456789a": "", "E01234 6789a": "", "e0123456789a": "",
		"E0123456789\x00": "", "' OR 1=1 -- ": "",
	} {
		if got, ok := keystring.KindOf(id); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v", id, got, ok)
		}
		if got := keystring.IsID(id); got != (want != "" || id[:min(1, len(id))] == "X") {
			t.Errorf("%q has the form of an id: %v", id, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fresh(f, keystring.Live, keystring.Ed25519).Reveal())
	f.Add(fresh(f, keystring.Test, keystring.HS256).Reveal())
	f.Add("lk_live_E00000000000_" + strings.Repeat("z", 49))
	f.Add(strings.Repeat("_", 70))
	f.Fuzz(func(t *testing.T, text string) {
		key, err := keystring.Parse(text)
		if err != nil {
			return
		}
		if key.Reveal() != text || len(key.ID()) != 12 {
			t.Errorf("%q reads as %q", text, key.Reveal())
		}
		_, signs := key.PrivateKey()
		_, macs := key.HMACKey()
		if signs == macs {
			t.Errorf("%q signs in both ways or in none", text)
		}
	})
}

func TestRedactDamagedKeys(t *testing.T) {
	whole := fresh(t, keystring.Live, keystring.Ed25519)
	id, secret := whole.ID(), whole.Reveal()[21:]
	replace := func(env keystring.Environment, id string) string { return "<" + string(env) + " " + id + ">" }
	for text, want := range map[string]string{
		"":                                  "",
		"no key here: lk_prod_x":            "no key here: lk_prod_x",
		whole.Reveal():                      "<live " + id + ">",
		"a " + whole.Reveal() + " and more": "a <live " + id + "> and more",
		"a short one lk_live_" + id + "_a":  "a short one <live " + id + ">",
		"its id is damaged: lk_test_" + id[1:] + "_" + secret: "its id is damaged: <test >",
		"only the beginning: lk_live_":                        "only the beginning: <live >",
		"twice lk_live_lk_live_" + id + "_" + secret:          "twice <live >",
	} {
		if got := keystring.Redact(text, replace); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		if found := keystring.In(text); found != (text != want) {
			t.Errorf("%q has a key string in it: %v", text, found)
		}
	}
}

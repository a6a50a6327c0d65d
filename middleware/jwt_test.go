package middleware

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/token"
)

// goodToken has the form of a token. No key made its signature.
const goodToken = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"

func TestProcessToken(t *testing.T) {
	tests := []struct {
		name, header string
		accepted     bool
	}{
		{"bare", goodToken, true},
		{"with the scheme", "Bearer " + goodToken, true},
		{"the scheme in another case", "bEaReR " + goodToken, true},
		{"more spaces", "Bearer    " + goodToken, true},
		{"the scheme alone", "Bearer", false},
		{"the scheme and spaces", "Bearer   ", false},
		{"another scheme", "Basic " + goodToken, false},
		{"the scheme twice", "Bearer Bearer " + goodToken, false},
		{"a tab for the space", "Bearer\t" + goodToken, false},
		{"no space", "Bearer" + goodToken, false}, // one segment more of base64url, whose header is no JSON
		{"two tokens", goodToken + " " + goodToken, false},
		{"two tokens with a comma", goodToken + "," + goodToken, false},
		{"empty", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := processToken(tt.header)
			if tt.accepted && (err != nil || got != goodToken) {
				t.Errorf("got %q, %v", got, err)
			}
			if !tt.accepted && fault.CodeOf(err) != fault.TokenMalformed {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestProcessTokenCopiesTheToken: the next request overwrites the buffer of the header.
func TestProcessTokenCopiesTheToken(t *testing.T) {
	buffer := []byte("Bearer " + goodToken)
	got, err := processToken(unsafe.String(&buffer[0], len(buffer)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range buffer {
		buffer[i] = 'x'
	}
	if got != goodToken {
		t.Errorf("the next request turned the token into %q", got)
	}
}

func FuzzProcessToken(f *testing.F) {
	for _, seed := range []string{goodToken, "Bearer " + goodToken, "bearer  a.b.c", "Bearer", " ", strings.Repeat(".", 5000), "\x00.\xff."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := processToken(header)
		if err != nil {
			if code := fault.CodeOf(err); code != fault.TokenMalformed && code != fault.TokenTooLong || got != "" {
				t.Errorf("refused with %q, %v", got, err)
			}
			return
		}
		if !strings.HasSuffix(header, got) || len(got) > token.MaxLength || strings.Count(got, ".") != 2 || strings.ContainsAny(got, " \t\r\n") {
			t.Errorf("accepted %q of %q", got, header)
		}
	})
}

package store

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"regexp"
	"strings"
	"testing"
)

func TestCursorRoundTrip(t *testing.T) {
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{18}$`)
	for _, seq := range []int64{1, 2, 255, 1 << 32, math.MaxInt64} {
		want := Cursor{ListKeys, seq}
		got, err := ParseCursor(ListKeys, want.String())
		if err != nil || got != want || got.IsZero() {
			t.Errorf("%d: got %v, %v", seq, got, err)
		}
		if !form.MatchString(want.String()) {
			t.Errorf("%d: the text is %q", seq, want)
		}
	}
	if zero := (Cursor{}); !zero.IsZero() || zero.String() != "" {
		t.Errorf("the zero cursor is %q", zero)
	}
	if got, err := ParseCursor(ListKeys, ""); err != nil || !got.IsZero() {
		t.Errorf("the empty text is %v, %v", got, err)
	}
}

func TestCursorParserRefuses(t *testing.T) {
	good := Cursor{ListStoryspaces, 7}.String()
	tests := map[string]string{
		"a number":                "7",
		"words":                   "' OR 1=1 --",
		"cut":                     good[:len(good)-1],
		"longer":                  good + "A",
		"padded":                  good + "==",
		"a line break in it":      good[:17] + "\n",
		"line breaks behind":      good + "\r\n",
		"spare bits set":          good[:17] + string(good[17]+1),
		"the other alphabet":      strings.Repeat("+", 18),
		"one character changed":   "B" + good[1:],
		"no text":                 strings.Repeat("\xff", 18),
		"of another list":         forged(2, 7),
		"of no list":              forged(0, 7),
		"position 0":              forged(1, 0),
		"a position above int64":  forged(1, 1<<63),
		"the last of all numbers": forged(1, math.MaxUint64),
		"zero bytes":              base64.RawURLEncoding.EncodeToString(make([]byte, cursorBytes)),
	}
	for name, text := range tests {
		if c, err := ParseCursor(ListStoryspaces, text); err == nil || c != (Cursor{}) {
			t.Errorf("%s: %q was taken as %v, %v", name, text, c, err)
		}
	}
}

// forged has a good checksum.
func forged(list byte, seq uint64) string {
	b := binary.BigEndian.AppendUint64([]byte{list}, seq)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(Cursor{ListStoryspaces, 1}.String())
	f.Add(Cursor{ListStoryspaces, math.MaxInt64}.String())
	f.Add(forged(2, 7))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCursor(ListStoryspaces, text)
		if err != nil {
			if c != (Cursor{}) {
				t.Errorf("%q is refused and gives %v", text, c)
			}
			return
		}
		if c.seq < 0 || c.IsZero() != (text == "") || c.String() != text {
			t.Errorf("%q was taken as %d, which is written %q", text, c.seq, c)
		}
	})
}

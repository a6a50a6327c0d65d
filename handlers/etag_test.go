package handlers

import "testing"

func TestETagMatches(t *testing.T) {
	const tag = `"abc"`
	tests := []struct {
		name  string
		lines [][]byte
		want  bool
	}{
		{"no header", nil, false},
		{"the tag", lines(`"abc"`), true},
		{"weak", lines(`W/"abc"`), true},
		{"in a list", lines(`"x", "abc" , "y"`), true},
		{"without spaces", lines(`"x","abc"`), true},
		{"weak in a list", lines(`"x",W/"abc"`), true},
		{"on the second line", lines(`"x"`, `"abc"`), true},
		{"any", lines(`*`), true},
		{"any, with spaces", lines(" * "), true},
		{"empty members", lines(`,, "abc",`), true},
		{"after a line that is no list", lines(`abc`, `"abc"`), true},

		{"empty", lines(""), false},
		{"another", lines(`"abd"`), false},
		{"not quoted", lines(`abc`), false},
		{"part of another", lines(`"xabc"`, `"abcx"`), false},
		{"inside another, which may have commas", lines(`"x,"abc",y"`), false},
		{"quoted in another", lines(`"x, abc"`), false},
		{"not closed", lines(`"abc`), false},
		{"one quote", lines(`"`), false},
		{"weak in small letters", lines(`w/"abc"`), false},
		{"weak of nothing", lines(`W/`), false},
		{"any among others", lines(`"x", *`), false},
		{"no comma between", lines(`"x" "abc"`), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := etagMatches(tt.lines, tag); got != tt.want {
				t.Errorf("%q: %v, want %v", tt.lines, got, tt.want)
			}
		})
	}
}

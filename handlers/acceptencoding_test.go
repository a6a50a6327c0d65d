package handlers

import "testing"

func lines(texts ...string) [][]byte {
	all := [][]byte{}
	for _, text := range texts {
		all = append(all, []byte(text))
	}
	return all
}

func TestPrefersGzip(t *testing.T) {
	tests := []struct {
		name  string
		lines [][]byte
		want  bool
	}{
		{"gzip", lines("gzip"), true},
		{"as browsers send it", lines("gzip, deflate, br, zstd"), true},
		{"last", lines("br;q=1.0, gzip;q=0.8"), true},
		{"any case", lines("GZip"), true},
		{"its old name", lines("x-gzip"), true},
		{"on the second line", lines("br", "gzip"), true},
		{"anything", lines("*"), true},
		{"anything else", lines("br;q=1, *;q=0.1"), true},
		{"as good as plain", lines("identity, gzip"), true},
		{"spaces around the weight", lines("gzip ; q=0.5"), true},
		{"the smallest weight", lines("gzip;q=0.001"), true},
		{"only compressed", lines("identity;q=0, gzip;q=0.1"), true},

		{"no header", nil, false},
		{"empty", lines(""), false},
		{"only others", lines("br, deflate"), false},
		{"refused", lines("gzip;q=0"), false},
		{"refused, longer", lines("gzip;q=0.000"), false},
		{"refused, a capital Q", lines("gzip;Q=0"), false},
		{"refused, others not", lines("gzip;q=0, *"), false},
		{"anything refused", lines("*;q=0"), false},
		{"plain is liked better", lines("identity, gzip;q=0.5"), false},
		{"plain is liked better, on two lines", lines("gzip;q=0.5", "identity;q=0.6"), false},
		{"part of another name", lines("gzipped, xgzip"), false},
		{"a weight over 1", lines("gzip;q=2"), false},
		{"a weight that is none", lines("gzip;q=NaN"), false},
		{"too many digits", lines("gzip;q=0.1234"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := prefersGzip(tt.lines); got != tt.want {
				t.Errorf("%q: %v, want %v", tt.lines, got, tt.want)
			}
		})
	}
}

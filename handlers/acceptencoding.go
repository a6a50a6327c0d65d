package handlers

import (
	"regexp"
	"strconv"
	"strings"
)

// weight is a q-value (RFC 9110, section 12.4.2).
var weight = regexp.MustCompile(`^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$`)

// prefersGzip reports whether the lines of an Accept-Encoding header accept gzip and do not prefer the plain form (RFC 9110,
// section 12.5.3). It is false without the header or with one that cannot be read.
func prefersGzip(lines [][]byte) bool {
	const unnamed = -1.0
	zipped, identity, others := unnamed, unnamed, unnamed
	for _, line := range lines {
		for member := range strings.SplitSeq(string(line), ",") {
			name, parameters, _ := strings.Cut(member, ";")
			q := quality(parameters)
			switch strings.ToLower(strings.Trim(name, " \t")) {
			case "gzip", "x-gzip":
				zipped = max(zipped, q)
			case "identity":
				identity = max(identity, q)
			case "*":
				others = max(others, q)
			}
		}
	}
	if zipped == unnamed {
		zipped = others
	}
	return zipped > 0 && zipped >= identity
}

// quality is the weight in the parameters of a member: 1 without one, and 0 (not acceptable) for one that is no q-value.
func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.Trim(parameter, " \t"), "=")
		if !strings.EqualFold(strings.TrimRight(name, " \t"), "q") {
			continue
		}
		if value = strings.Trim(value, " \t"); !weight.MatchString(value) {
			return 0
		}
		q, _ := strconv.ParseFloat(value, 64) // the pattern matches only numbers
		return q
	}
	return 1
}

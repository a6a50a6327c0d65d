package keystring

import "regexp"

// Pattern finds key strings in files, for secret scanners (RE2 syntax).
const Pattern = `\blk_(live|test)_[EH][0-9A-Za-z]{11}_[0-9A-Za-z]{49}\b`

// remains finds key strings, also damaged ones: what is left of a secret is a secret. Its groups are the environment and,
// where the id is whole, the id.
var remains = regexp.MustCompile(`lk_(live|test)_(?:([EH][0-9A-Za-z]{11})_[0-9A-Za-z]+)?\w*`)

// In says whether a text has a key string in it, also a damaged one.
func In(text string) bool { return remains.MatchString(text) }

// Redact replaces every key string in a text, also a damaged one, by what replace makes of its environment and its id. The
// id is "" where it is not whole.
func Redact(text string, replace func(env Environment, id string) string) string {
	return remains.ReplaceAllStringFunc(text, func(found string) string {
		groups := remains.FindStringSubmatch(found)
		return replace(Environment(groups[1]), groups[2])
	})
}

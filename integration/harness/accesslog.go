package harness

import (
	"encoding/json"
	"strconv"
	"strings"
)

// AccessLine is a line of the access log.
type AccessLine map[string]any

// AccessLines are the lines with this request id.
func AccessLines(log, id string) []AccessLine {
	found := []AccessLine{}
	for line := range strings.Lines(log) {
		var fields AccessLine
		if strings.Contains(line, id) && json.Unmarshal([]byte(line), &fields) == nil {
			found = append(found, fields)
		}
	}
	return found
}

// Has reports whether a value of the line, at any depth, prints as want.
func (l AccessLine) Has(want string) bool { return holds(map[string]any(l), want) }

func holds(value any, want string) bool {
	switch value := value.(type) {
	case string:
		return value == want
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64) == want
	case map[string]any:
		for _, member := range value {
			if holds(member, want) {
				return true
			}
		}
	}
	return false
}

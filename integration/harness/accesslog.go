package harness

import (
	"encoding/json"
	"strconv"
	"strings"
)

// AccessLine is the part of a log line that tells of a request.
type AccessLine map[string]any

// AccessLines are the lines of the log that have the request id.
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

// Has says whether one of the line's values, at any depth, prints as want.
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

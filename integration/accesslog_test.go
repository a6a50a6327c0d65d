package integration

import (
	"encoding/json"
	"strconv"
	"strings"
)

// accessLine is the part of a log line that tells of a request.
type accessLine map[string]any

// accessLines are the lines of the log that have the request id.
func accessLines(log, id string) []accessLine {
	found := []accessLine{}
	for line := range strings.Lines(log) {
		var fields accessLine
		if strings.Contains(line, id) && json.Unmarshal([]byte(line), &fields) == nil {
			found = append(found, fields)
		}
	}
	return found
}

// has says whether one of the line's values, at any depth, prints as want.
func (l accessLine) has(want string) bool { return holds(map[string]any(l), want) }

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

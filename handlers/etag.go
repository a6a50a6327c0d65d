package handlers

import "bytes"

// etagMatches reports whether the lines of an If-None-Match header have etag or are `*`: then the caller has the answer already
// (RFC 9110, section 13.1.2). The comparison is the weak one. The rest of a line after a syntax error is ignored.
func etagMatches(lines [][]byte, etag string) bool {
	for _, line := range lines {
		if line = bytes.Trim(line, " \t"); string(line) == "*" {
			return true
		}
		for {
			line = bytes.TrimLeft(line, ", \t")
			line = bytes.TrimPrefix(line, []byte("W/"))
			if len(line) == 0 || line[0] != '"' {
				break
			}
			end := bytes.IndexByte(line[1:], '"') + 2
			if end < 2 {
				break
			}
			if string(line[:end]) == etag {
				return true
			}
			line = bytes.TrimLeft(line[end:], " \t")
			if len(line) > 0 && line[0] != ',' {
				break
			}
		}
	}
	return false
}

//go:build !unix

package listener

import "math"

// Descriptors is how many files and connections this process may have open: there is no such limit here.
func Descriptors() int { return math.MaxInt }

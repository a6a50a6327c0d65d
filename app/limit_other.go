//go:build !unix

package app

import "math"

// descriptorLimit is how many files and connections this process may have open: there is no such limit here.
func descriptorLimit() int { return math.MaxInt }

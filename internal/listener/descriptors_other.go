//go:build !unix

package listener

import "math"

// Descriptors is how many file descriptors this process may have open: there is no maximum on this system.
func Descriptors() int { return math.MaxInt }

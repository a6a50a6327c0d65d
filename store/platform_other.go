//go:build !unix

package store

// ownership is empty: files have no uid here.
func ownership(string) string { return "" }

// writable knows nothing here.
func writable(string) error { return nil }

// syncFolder does nothing: a folder cannot be flushed here.
func syncFolder(string) error { return nil }

//go:build !unix

package store

import "io/fs"

// ownership is empty: files have no uid here.
func ownership(string) string { return "" }

// writable knows nothing here.
func writable(string) error { return nil }

// syncFolder does nothing: a folder cannot be flushed here.
func syncFolder(string) error { return nil }

// adopt does nothing: the folder decides who may read a file.
func adopt(string, fs.FileInfo) error { return nil }

//go:build !unix

package store

import (
	"io/fs"
	"os"
)

// ownership is empty: files have no uid here.
func ownership(string) string { return "" }

// writable finds no reason here.
func writable(string) error { return nil }

// noRoom takes every failure for a full disk, because systems report it differently.
func noRoom(err error) bool { return err != nil }

// syncFolder does nothing: a folder cannot be synced here.
func syncFolder(string) error { return nil }

// adopt does nothing: the folder decides who may read a file.
func adopt(*os.File, fs.FileInfo) error { return nil }

// adoptOwner does nothing, like adopt.
func adoptOwner(*os.File, fs.FileInfo) error { return nil }

// lockAlone locks nothing here: SQLite's own locks must be enough.
func lockAlone(*os.File) (bool, error) { return true, nil }

// noFollow has no effect here.
const noFollow = 0

// movesOpenFiles says that an open file cannot be replaced.
const movesOpenFiles = false

//go:build !unix

package store

import (
	"io/fs"
	"os"
)

// ownership is empty: files have no uid here.
func ownership(string) string { return "" }

// writable knows nothing here.
func writable(string) error { return nil }

// noRoom takes every failure for a full disk: systems differ in what they say.
func noRoom(err error) bool { return err != nil }

// syncFolder does nothing: a folder cannot be flushed here.
func syncFolder(string) error { return nil }

// adopt does nothing: the folder decides who may read a file.
func adopt(*os.File, fs.FileInfo) error { return nil }

// adoptOwner does nothing, like adopt.
func adoptOwner(*os.File, fs.FileInfo) error { return nil }

// lockAlone locks nothing here: what SQLite itself locks has to do.
func lockAlone(*os.File) (bool, error) { return true, nil }

// noFollow refuses nothing here.
const noFollow = 0

// movesOpenFiles says that no file can be moved over one that is open.
const movesOpenFiles = false

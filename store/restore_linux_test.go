package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// On a full disk a restore says which file has no room, once, and that nothing was changed.
func TestRestoreOnAFullDiskIsASentence(t *testing.T) {
	made, backup := twoStores(t)
	folder := smallDisk(t, 2)
	file := filepath.Join(folder, "latchkey.db")
	free := fill(t, folder)
	free()
	failed := 0
	for room := 4096; room < 1<<20; room += 8192 {
		write(t, file, string(read(t, made)))
		free := fill(t, folder)
		if err := os.Truncate(filepath.Join(folder, "filler"), size(t, filepath.Join(folder, "filler"))-int64(room)); err != nil {
			t.Fatal(err)
		}
		_, err := restore(t, file, backup, false)
		free()
		if err == nil {
			break
		}
		failed++
		isSentence(t, err, file)
		if strings.Contains(err.Error(), "--revive") {
			t.Errorf("a full disk is no reason to give up the keys: %v", err)
		}
		// Where even the store cannot be opened, the sentence is of that.
		if strings.Contains(err.Error(), file+" cannot be opened") {
			continue
		}
		isSentence(t, err, "the store stays as it was")
		if strings.Count(err.Error(), file+"-restore") != 1 {
			t.Errorf("it does not name the new store once: %v", err)
		}
		isOne(t, "the accounts", texts(t, file, everyAccount), "ada", "late")
	}
	if failed < 2 {
		t.Error("the disk was not full")
	}
}

func size(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

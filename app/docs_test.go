package app_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocsTree: the tree in docs/architecture.md has every package, and every file that it names is there.
func TestDocsTree(t *testing.T) {
	page, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := tree(t, string(page))
	for _, name := range named {
		if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(name))); err != nil {
			t.Errorf("the tree names %s, which is not there", name)
		}
	}
	for _, f := range houseFiles(t) {
		if house := f.house(); house != "main" && !slices.Contains(named, house) {
			t.Errorf("the tree has no line for the package %s", house)
		}
	}
}

// tree gives the paths of the tree: two blanks more are one folder deeper, and two blanks end the names of a line.
func tree(t *testing.T, page string) []string {
	t.Helper()
	_, block, found := strings.Cut(page, "## The tree\n")
	_, block, opened := strings.Cut(block, "```\n")
	block, _, closed := strings.Cut(block, "```\n")
	if !found || !opened || !closed {
		t.Fatal("docs/architecture.md has no tree")
	}
	var named, folders []string
	for line := range strings.Lines(block) {
		text := strings.TrimLeft(line, " ")
		depth := (len(line) - len(text)) / 2
		if depth > len(folders) {
			t.Fatalf("this line of the tree is too deep: %s", line)
		}
		names, _, _ := strings.Cut(text, "  ")
		for name := range strings.SplitSeq(names, ", ") {
			name = strings.TrimSuffix(name, "\n")
			named = append(named, path.Join(path.Join(folders[:depth]...), name))
			if strings.HasSuffix(name, "/") {
				folders = append(folders[:depth:depth], name)
			}
		}
	}
	return named
}

// TestDocsLinks: what the pages of this repository link to in it is there.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	pages := 0
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != ".." && entry.Name()[0] == '.':
			return fs.SkipDir
		case filepath.Ext(name) != ".md":
			return nil
		}
		page, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		pages++
		for _, found := range link.FindAllStringSubmatch(string(page), -1) {
			target := filepath.Join(filepath.Dir(name), filepath.FromSlash(found[1]))
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", name, found[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages < 2 {
		t.Fatalf("%d pages found: this test looks in the wrong place", pages)
	}
}

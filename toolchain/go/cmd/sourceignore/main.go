// Command sourceignore says which files source-controller keeps in the
// artifact of a GitRepository or OCIRepository.
//
// It reads one JSON document from standard input: the ignore files by path,
// spec.ignore (null if it is not set), and the files and folders to judge. It
// writes the kept ones of both to standard output. Patterns are read and
// matched by Flux's own package; only the choice between the default patterns
// and the given ones is source-controller's.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
)

type question struct {
	IgnoreFiles map[string]string `json:"ignore_files"`
	SpecIgnore  *string           `json:"spec_ignore"`
	Files       []string          `json:"files"`
	Folders     []string          `json:"folders"`
}

type answer struct {
	Files   []string `json:"files"`
	Folders []string `json:"folders"`
}

func main() {
	log.SetFlags(0)
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	patterns, err := read(asked)
	if err != nil {
		log.Fatal(err)
	}
	matcher := choose(patterns)
	kept := answer{
		Files:   keep(matcher, asked.Files, false),
		Folders: keep(matcher, asked.Folders, true),
	}
	if err := json.NewEncoder(os.Stdout).Encode(kept); err != nil {
		log.Fatal(err)
	}
}

// read lays the ignore files out on disk, where Flux looks for them.
func read(asked question) ([]gitignore.Pattern, error) {
	root, err := os.MkdirTemp("", "sourceignore-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	for path, content := range asked.IgnoreFiles {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	patterns, err := sourceignore.LoadIgnorePatterns(root, nil)
	if err != nil {
		return nil, err
	}
	if asked.SpecIgnore != nil {
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(*asked.SpecIgnore), nil)...)
	}
	return patterns, nil
}

// choose follows SourceIgnoreFilter of github.com/fluxcd/pkg/artifact: any
// pattern takes the place of the defaults, except for those about git's files.
func choose(patterns []gitignore.Pattern) gitignore.Matcher {
	if len(patterns) == 0 {
		return sourceignore.NewDefaultMatcher(nil, nil)
	}
	return sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...))
}

func keep(matcher gitignore.Matcher, paths []string, folders bool) []string {
	kept := []string{}
	for _, path := range paths {
		if !matcher.Match(strings.Split(path, "/"), folders) {
			kept = append(kept, path)
		}
	}
	return kept
}

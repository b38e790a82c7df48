package main

import (
	"net/http"
	"os"
	"path"
	"strings"
)

// files are those below a directory, and none outside of it: os.Root sees to that, also where links lead.
// (http.FileServer would list directories.)
type files struct{ root *os.Root }

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notAllowed(w, "GET, HEAD")
		return
	}
	name := path.Join(".", r.URL.Path)
	about, err := f.root.Stat(name)
	if err == nil && about.IsDir() {
		if !strings.HasSuffix(r.URL.Path, "/") {
			http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
			return
		}
		name = path.Join(name, "index.html")
		about, err = f.root.Stat(name)
	}
	if err != nil || !about.Mode().IsRegular() { // a pipe would not even open
		http.Error(w, "there is nothing here", http.StatusNotFound)
		return
	}
	file, err := f.root.Open(name)
	if err != nil {
		http.Error(w, "there is nothing here", http.StatusNotFound)
		return
	}
	defer file.Close()
	http.ServeContent(w, r, name, about.ModTime(), file)
}

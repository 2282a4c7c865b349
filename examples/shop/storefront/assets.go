package storefront

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
)

//go:embed assets templates
var files embed.FS

// assets are the page's style sheet, script and icon, served under names that
// change with their content, so that browsers may keep them for ever.
type assets struct {
	paths map[string]string // by file name: the path to link to
	byURL map[string]string // by that path's last element: the file name
}

func newAssets() assets {
	a := assets{map[string]string{}, map[string]string{}}
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // built in, so it is there
	}
	for _, e := range entries {
		data, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err) // as above
		}
		sum := sha256.Sum256(data)
		ext := path.Ext(e.Name())
		name := e.Name()[:len(e.Name())-len(ext)] + "." + hex.EncodeToString(sum[:6]) + ext
		a.paths[e.Name()] = "/assets/" + name
		a.byURL[name] = e.Name()
	}
	return a
}

func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	name, ok := a.byURL[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeFileFS(w, r, files, "assets/"+name)
}

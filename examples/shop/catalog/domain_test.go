package catalog

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestRecommend(t *testing.T) {
	all := []Product{
		{ID: "mug", Category: "k"}, {ID: "lamp", Category: "d"}, {ID: "bowl", Category: "k"},
		{ID: "pen", Category: "d"}, {ID: "pot", Category: "k"}, {ID: "can", Category: "g"},
	}
	for name, c := range map[string]struct {
		all  []Product
		p    Product
		want []string
	}{
		"own category first":       {all, all[0], []string{"bowl", "pot", "lamp", "pen"}},
		"then the shop's order":    {all, all[1], []string{"pen", "mug", "bowl", "pot"}},
		"alone in its category":    {all, all[5], []string{"mug", "lamp", "bowl", "pen"}},
		"nothing else in the shop": {all[:1], all[0], nil},
		"empty shop":               {nil, all[0], nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ids(Recommend(c.all, c.p)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := ids(all); !slices.Equal(got, []string{"mug", "lamp", "bowl", "pen", "pot", "can"}) {
		t.Errorf("Recommend reordered its input: %v", got)
	}
}

func TestSeed(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Seed() {
		if seen[p.ID] || p.ID == "" || p.Name == "" || p.Description == "" || p.Category == "" {
			t.Errorf("incomplete or twice: %+v", p)
		}
		seen[p.ID] = true
		if err := harmless(p.Image); err != nil {
			t.Errorf("%s: image: %v", p.ID, err)
		}
	}
	if len(seen) < 12 {
		t.Errorf("got %d products, want 12 or more", len(seen))
	}
}

// harmless reports what would let an image run code or load something.
func harmless(svg string) error {
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		el, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		if slices.Contains([]string{"script", "foreignObject", "image", "use", "a", "style"}, el.Name.Local) {
			return errors.New("has a <" + el.Name.Local + ">")
		}
		for _, a := range el.Attr {
			if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
				return errors.New("has an attribute " + a.Name.Local)
			}
		}
	}
}

func ids(products []Product) (ids []string) {
	for _, p := range products {
		ids = append(ids, p.ID)
	}
	return ids
}

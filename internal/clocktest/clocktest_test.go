package clocktest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/clocktest"
)

func TestStep(t *testing.T) {
	now := time.Now()
	for _, by := range []int{-3600, 0, 3600} {
		got := clocktest.Step(now, by)
		if mono := got.Sub(now); mono != 0 {
			t.Errorf("step by %d s: the monotonic reading moved by %v", by, mono)
		}
		if wall := got.Round(0).Sub(now.Round(0)); wall != time.Duration(by)*time.Second {
			t.Errorf("step by %d s: the wall clock moved by %v", by, wall)
		}
	}
}

// roots are the packages on the path of a call, and what they report.
var roots = []string{"breaker", "discovery", "health", "internal", "observe", "transport"}

// allowed is where the wall clock may be asked, as file and method, and why.
var allowed = map[string]string{
	"discovery/gossip/backend.go UnixNano":       "tells this run of the process from the one before, on whatever clock that was",
	"health/http.go UTC":                         "the date of a check, as JSON",
	"observe/logs/logs.go UTC":                   "a log line's date",
	"transport/transporttest/server.go UTC":      "an HTTP date",
	"transport/transporttest/server.go UnixNano": "a seed",
	"transport/transporttest/turns.go UnixNano":  "the clock of a bubble, which nobody sets",
	"transport/transporttest/sim/call.go Unix":   "where the simulation's own clock begins",
}

// A step of the wall clock changes nothing: intervals are differences of times
// that have kept their monotonic reading. So nobody makes a number of a time, or
// does what loses that reading.
func TestNobodyAsksTheWallClock(t *testing.T) {
	unused := map[string]bool{}
	for key := range allowed {
		unused[key] = true
	}
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join("../..", root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			for _, use := range wallClock(t, path) {
				key := file + " " + use.name
				if _, ok := allowed[key]; !ok {
					t.Errorf("%s:%d: %s is of the wall clock, which may step", file, use.line, use.name)
				}
				delete(unused, key)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key := range unused {
		t.Errorf("%s: allowed, but there is none", key)
	}
}

// A use is one of the wall clock.
type use struct {
	name string
	line int
}

func wallClock(t *testing.T, path string) (uses []use) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return usesIn(t, path, src)
}

func usesIn(t *testing.T, path string, src []byte) (uses []use) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if sel, ok := c.Fun.(*ast.SelectorExpr); ok && (strips(sel.Sel.Name) || rounds(c, sel)) {
				uses = append(uses, use{sel.Sel.Name, files.Position(sel.Sel.Pos()).Line})
			}
		}
		return true
	})
	return uses
}

// strips reports whether a method of a time.Time with this name, or a function
// of package time, is of the wall clock alone.
func strips(name string) bool {
	switch name {
	case "Unix", "UnixNano", "UnixMicro", "UnixMilli", "UTC", "Local", "In", "AddDate", "Date", "Clock", "YearDay", "Weekday":
		return true
	default:
		return false
	}
}

// rounds reports whether a call rounds a time, as far as can be seen without
// knowing types: by nothing at all, which only makes sense of a time, or what
// comes right from the clock or an addition to it.
func rounds(c *ast.CallExpr, sel *ast.SelectorExpr) bool {
	if sel.Sel.Name != "Round" && sel.Sel.Name != "Truncate" || len(c.Args) != 1 {
		return false
	}
	if zero, ok := c.Args[0].(*ast.BasicLit); ok && zero.Value == "0" {
		return true
	}
	of, ok := sel.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	from, ok := of.Fun.(*ast.SelectorExpr)
	return ok && (from.Sel.Name == "Now" || from.Sel.Name == "Add")
}

// The search finds what it is for.
func TestUses(t *testing.T) {
	for expr, want := range map[string]string{
		"time.Now().UnixNano()":            "UnixNano",
		"now.UnixMilli()":                  "UnixMilli",
		"now.Add(d).Unix()":                "Unix",
		"now.UTC()":                        "UTC",
		"now.In(place)":                    "In",
		"now.Round(0)":                     "Round",
		"time.Now().Truncate(time.Second)": "Truncate",
		"now.Add(d).Round(time.Second)":    "Round",
		"time.Since(start).Milliseconds()": "",
		"took.Round(time.Millisecond)":     "",
		"now.Sub(start)":                   "",
	} {
		got := ""
		for _, u := range usesIn(t, expr, fmt.Appendf(nil, "package p\nvar _ = %s\n", expr)) {
			got += u.name
		}
		if got != want {
			t.Errorf("%s: found %q, want %q", expr, got, want)
		}
	}
}

package bubble_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

func TestRun(t *testing.T) {
	began := time.Now()
	var inside time.Duration
	var order []string
	err := bubble.Run("hour", func(tb testing.TB) {
		start := time.Now()
		ctx := tb.Context()
		tb.Cleanup(func() { order = append(order, "first") })
		tb.Cleanup(func() {
			if ctx.Err() == nil {
				tb.Error("the context outlived the function")
			}
			order = append(order, "last")
			time.Sleep(time.Minute) // in the bubble
		})
		ended := false
		go func() { time.Sleep(time.Hour); ended = true }()
		time.Sleep(time.Hour + 1)
		synctest.Wait()
		inside = time.Since(start)
		if !ended || tb.Name() != "hour" {
			tb.Errorf("ended %v, name %q", ended, tb.Name())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if inside != time.Hour+1 || time.Since(began) > 10*time.Second {
		t.Errorf("%v inside, %v outside, want 1h0m0.000000001s in a moment", inside, time.Since(began))
	}
	if got := strings.Join(order, ","); got != "last,first" {
		t.Errorf("cleanups ran as %q, want last,first", got)
	}
}

func TestFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		f    func(testing.TB)
		want string // empty for none
	}{
		"nothing":        {func(testing.TB) {}, ""},
		"log":            {func(tb testing.TB) { tb.Log("hello") }, ""},
		"skip":           {func(tb testing.TB) { tb.Skip("not today") }, ""},
		"error":          {func(tb testing.TB) { tb.Log("a"); tb.Errorf("b %d", 1); tb.Log("c") }, "bubble: x: a\nb 1\nc"},
		"fatal":          {func(tb testing.TB) { tb.Fatal("over"); panic("not reached") }, "bubble: x: over"},
		"fail":           {func(tb testing.TB) { tb.Fail() }, "bubble: x: failed"},
		"panic":          {func(testing.TB) { panic("boom") }, "bubble: x: panic: boom"},
		"error panic":    {func(testing.TB) { panic(io.ErrUnexpectedEOF) }, "bubble: x: panic: unexpected EOF"},
		"goexit":         {func(testing.TB) { runtime.Goexit() }, "bubble: x: panic: runtime.Goexit was called"},
		"cleanup fails":  {func(tb testing.TB) { tb.Cleanup(func() { tb.Fatal("late") }) }, "bubble: x: late"},
		"cleanup panics": {func(tb testing.TB) { tb.Cleanup(func() { panic("late") }) }, "bubble: x: panic: late"},
		"within another": {func(tb testing.TB) {
			if err := bubble.Run("inner", func(testing.TB) {}); err == nil || !strings.Contains(err.Error(), "bubble: inner: panic: ") {
				tb.Errorf("a bubble in a bubble: %v", err)
			}
		}, ""},
		"deadlock": {func(testing.TB) { <-make(chan int) }, "bubble: x: panic: deadlock: all goroutines in bubble are blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			err := bubble.Run("x", tc.f)
			if tc.want == "" {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			if err == nil || err.Error() != tc.want {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			e, _ := errors.AsType[*bubble.Error](err)
			if e.Panic != nil && len(e.Stack) == 0 {
				t.Error("no stack")
			}
			if name == "error panic" && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error("the error is not that of the panic")
			}
		})
	}
}

func TestRunsAtTheSameTime(t *testing.T) {
	errs := make(chan error)
	for range 4 {
		go func() {
			errs <- bubble.Run("x", func(testing.TB) { time.Sleep(time.Hour) })
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

const program = `package main

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

func main() {
	n := flag.Int("n", 1, "")
	flag.Parse()
	fmt.Println(bubble.Run("good", func(tb testing.TB) { time.Sleep(time.Hour); tb.Log("hidden") }))
	fmt.Println(bubble.Run("bad", func(tb testing.TB) { tb.Fatal("n is", *n) }))
	flag.VisitAll(func(f *flag.Flag) { fmt.Println("flag", f.Name) })
}
`

// A plain program prints what it prints itself and has the flags that it made.
func TestPlainProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	main := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(main, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "run", main, "-n", "3").CombinedOutput()
	if want := "<nil>\nbubble: bad: n is 3\nflag n\n"; err != nil || string(out) != want {
		t.Errorf("got %v and\n%s\nwant\n%s", err, out, want)
	}
}

package consultest

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// Main runs the tests of a package that calls [Start], with the consul program
// built before the first of them, so that the build does not count against a
// test's time. It ends the process. It builds nothing with -short, nor when
// -run, -list or -fuzz select tests: those that need Consul build it then.
func Main(m *testing.M) {
	RunBuilder()
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "consultest: -short: tests that need a Consul server are left out")
	} else if wholePackage() {
		if _, err := program(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// wholePackage reports whether no flag narrows what runs.
func wholePackage() bool {
	for _, name := range []string{"test.run", "test.list", "test.fuzz", "test.bench"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}

// program returns the path of the consul program, found or built once in a
// process.
var program = sync.OnceValues(func() (string, error) {
	return Path(limit(), os.Stderr)
})

// reserve is what stays for the tests themselves of the time that go test
// gives a package.
const reserve = 2 * time.Minute

// limit returns how long a build may be waited for. cmd/go kills a test binary
// one minute after its -timeout, counted from the start of the process.
func limit() time.Duration {
	f := flag.Lookup("test.timeout")
	if f == nil {
		return time.Hour
	}
	timeout, err := time.ParseDuration(f.Value.String())
	if err != nil || timeout <= 0 {
		return time.Hour
	}
	return max(timeout+time.Minute-reserve, timeout/2)
}

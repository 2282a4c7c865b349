//go:build unix

package policysource_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/policysource"
)

// What would keep its reader waiting is refused by what it is, and a file in its
// place is read.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	y := watching(t, policysource.File(path), func() {
		time.Sleep(time.Minute)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	})
	if len(y.errs) != 1 || !strings.Contains(y.errs[0].Error(), "named pipe") || len(y.docs) != 1 {
		t.Errorf("documents %v, errors %v", y.docs, y.errs)
	}
}

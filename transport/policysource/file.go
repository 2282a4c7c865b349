package policysource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"
)

// fileEvery is how often a file is looked at.
const fileEvery = 250 * time.Millisecond

// maxFile bounds the file.
const maxFile = 1 << 20

// File returns a source that is one file with the policies of all services, of
// 1 MiB at most: a regular file or a link to one. It is read four times a second
// and compared with what was read before, so a change is noticed however it was
// made: written in place, put there by a rename, or behind a symbolic link that
// has moved. It counts once the file is the same twice running, so that one that
// is being written is left alone; one that stays half written is no document and
// is refused.
func File(path string) Source { return file(path) }

// file is the path.
type file string

func (f file) String() string { return "file " + string(f) }

func (f file) Watch(ctx context.Context) iter.Seq2[[]Document, error] {
	return func(yield func([]Document, error) bool) {
		tick := time.NewTicker(fileEvery)
		defer tick.Stop()
		for w := (fileWatch{}); ctx.Err() == nil; {
			data, err := f.read()
			switch w.look(data, err) {
			case fileFails:
				if !yield(nil, err) {
					return
				}
			case fileDiffers:
				if !yield([]Document{{Name: string(f), Data: bytes.Clone(data)}}, nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}
}

// fileNews is what a look at a file brings.
type fileNews int

const (
	fileSame fileNews = iota
	fileDiffers
	fileFails // as it did not at the last look
)

// A fileWatch remembers what earlier looks have seen.
type fileWatch struct {
	looked bool   // there has been a look
	read   bool   // the last one could read the file
	seen   []byte // by the last one
	told   bool   // the last news was a document, and this:
	last   []byte
	failed bool // the last news was a failure
}

// look takes in what was read, and tells what is new about it.
func (w *fileWatch) look(data []byte, err error) fileNews {
	steady := !w.looked || w.read && bytes.Equal(data, w.seen)
	w.looked, w.read, w.seen = true, err == nil, data
	switch {
	case err != nil && w.failed, err == nil && (!steady || w.told && bytes.Equal(data, w.last)):
		return fileSame
	case err != nil:
		w.told, w.failed = false, true
		return fileFails
	default:
		w.told, w.failed, w.last = true, false, data
		return fileDiffers
	}
}

// read returns what is in the file. It does not open what could keep it waiting,
// such as a named pipe.
func (f file) read() ([]byte, error) {
	if info, err := os.Stat(string(f)); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("policysource: %s is a %s, want a regular file", string(f), kindOf(info.Mode()))
	}
	r, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("policysource: %w: create the file, with {} in it if there is nothing to say", err)
	}
	if err != nil {
		return nil, fmt.Errorf("policysource: %w", err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("policysource: %w", err)
	case len(data) > maxFile:
		return nil, fmt.Errorf("policysource: %s is larger than %d bytes", string(f), maxFile)
	}
	return data, nil
}

// kindOf names what is no regular file.
func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	default:
		return "device or socket"
	}
}

package compress

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// MaxBytes is the bound on a decompressed body where none is given.
const MaxBytes = 4 << 20

func orMaxBytes(n int64) int64 {
	if n <= 0 {
		return MaxBytes
	}
	return n
}

// errTrailing is a body that goes on after its compressed part: what is there
// would be seen by one reader and not by another.
var errTrailing = errors.New("data after the compressed body")

// reader is what a coding's decompressor can do.
type reader interface {
	io.Reader
	reset(io.Reader) error
}

type gzipReader struct{ *gzip.Reader }

func (r gzipReader) reset(in io.Reader) error {
	if err := r.Reset(in); err != nil {
		return err
	}
	r.Multistream(false) // one body, one stream: thousands of empty ones cost time for nothing
	return nil
}

type zlibReader struct{ io.ReadCloser }

func (r *zlibReader) reset(in io.Reader) (err error) {
	if r.ReadCloser == nil {
		r.ReadCloser, err = zlib.NewReader(in)
		return err
	}
	return r.ReadCloser.(zlib.Resetter).Reset(in, nil)
}

// inflaters keeps decompressors for further use.
type inflaters struct{ gzip, zlib, in sync.Pool }

func newInflaters() *inflaters {
	return &inflaters{
		gzip: sync.Pool{New: func() any { return gzipReader{new(gzip.Reader)} }},
		zlib: sync.Pool{New: func() any { return new(zlibReader) }},
		in:   sync.Pool{New: func() any { return bufio.NewReader(nil) }},
	}
}

// pool returns where the decompressors of a coding are, or nil if there are
// none.
func (p *inflaters) pool(coding string) *sync.Pool {
	switch strings.ToLower(coding) {
	case "gzip", "x-gzip":
		return &p.gzip
	case "deflate": // in HTTP this is zlib's format (RFC 9110, 8.4.1.2)
		return &p.zlib
	default:
		return nil
	}
}

// body is a compressed body that reads as what it holds. It takes a
// decompressor with the first Read and gives it back at the end, so that a body
// that nobody reads costs nothing.
type body struct {
	source   io.ReadCloser
	from     *inflaters
	pool     *sync.Pool // of the coding
	left     int64      // bytes that may still come
	tooLarge error      // what says that there are more

	mu  sync.Mutex // a handler may read in one goroutine and end in another
	in  *bufio.Reader
	z   reader
	err error // every further Read returns it
}

// Read reads what was compressed.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.read(p)
	if err != nil {
		b.err = err
		b.recycle()
	}
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.z == nil {
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more byte shows that there are too many
	}
	n, err := b.z.Read(p)
	if int64(n) > b.left {
		return int(b.left), b.tooLarge
	}
	b.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = b.atEnd()
	}
	return n, err
}

func (b *body) open() error {
	b.in = b.from.in.Get().(*bufio.Reader)
	b.in.Reset(b.source)
	b.z = b.pool.Get().(reader)
	return b.z.reset(b.in)
}

// atEnd returns io.EOF if the source is at its end too, which it learns there.
func (b *body) atEnd() error {
	if _, err := b.in.ReadByte(); err != nil {
		return err
	}
	return errTrailing
}

func (b *body) recycle() {
	if b.z == nil {
		return
	}
	b.in.Reset(nil)
	b.from.in.Put(b.in)
	b.pool.Put(b.z)
	b.in, b.z = nil, nil
}

// Close closes the source. What is read afterwards fails.
func (b *body) Close() error {
	err := b.source.Close() // first, as it may free a Read that waits
	b.end()
	return err
}

// end gives the decompressor back, unless a Read is going on: then the garbage
// collector has it.
func (b *body) end() {
	if !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
		b.recycle()
	}
}

package transport

import (
	"math"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// loadReport is what a server says of its load in ORCA's text form: the
// requests in flight, the latency as a moving average over about the last
// hundred requests, and the share of the process's processors in use.
type loadReport struct {
	latency atomic.Uint64 // float64 bits, milliseconds
	cpu     cpuMeter
}

// cpuMeter measures the processor time of the process, at most once a second.
type cpuMeter struct {
	next  atomic.Int64 // when to measure again, Unix nanoseconds
	share atomic.Uint64

	mu   sync.Mutex
	at   time.Time
	used time.Duration
}

// utilization returns the processor time used over the last second or more,
// from 0 to 1 where 1 is all of GOMAXPROCS; zero where the system cannot tell.
func (m *cpuMeter) utilization(now time.Time) float64 {
	if due := m.next.Load(); now.UnixNano() >= due && m.next.CompareAndSwap(due, now.Add(time.Second).UnixNano()) {
		m.measure(now)
	}
	return math.Float64frombits(m.share.Load())
}

func (m *cpuMeter) measure(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := cpuTime()
	if wall := now.Sub(m.at); !m.at.IsZero() && wall > 0 {
		share := float64(used-m.used) / float64(wall) / float64(runtime.GOMAXPROCS(0))
		m.share.Store(math.Float64bits(min(max(share, 0), 1)))
	}
	m.at, m.used = now, used
}

func (l *loadReport) record(d time.Duration) {
	ms := float64(d) / float64(time.Millisecond)
	for {
		old := l.latency.Load()
		avg := math.Float64frombits(old)
		if old == 0 {
			avg = ms
		} else {
			avg += (ms - avg) / 100
		}
		if l.latency.CompareAndSwap(old, math.Float64bits(avg)) {
			return
		}
	}
}

func (l *loadReport) text(inflight int) string {
	buf := make([]byte, 0, 96)
	buf = append(buf, "TEXT named_metrics.rif="...)
	buf = strconv.AppendInt(buf, int64(inflight), 10)
	buf = append(buf, ", named_metrics.latency_ms="...)
	buf = strconv.AppendFloat(buf, math.Float64frombits(l.latency.Load()), 'f', 3, 64)
	buf = append(buf, ", cpu_utilization="...)
	buf = strconv.AppendFloat(buf, l.cpu.utilization(time.Now()), 'f', 3, 64)
	return string(buf)
}

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
// hundred requests, the share of the process's processors in use, and the rates
// of requests and of errors.
type loadReport struct {
	latency  atomic.Uint64 // float64 bits, milliseconds
	requests atomic.Uint64
	errors   atomic.Uint64
	meter    loadMeter
	texts    [64]atomic.Pointer[loadText] // by the number of requests in flight
}

// loadText is a report as the value of its header.
type loadText struct {
	value   [1]string
	expires time.Time
}

// reportAge is how long a report is sent again while as many requests are in
// flight: what else it tells moves slowly.
const reportAge = 10 * time.Millisecond

// rates is what was measured over the last second or more.
type rates struct {
	cpu      float64 // from 0 to 1, where 1 is all of GOMAXPROCS
	qps, eps float64
}

// loadMeter measures rates, at most once a second.
type loadMeter struct {
	next   atomic.Pointer[time.Time] // when to measure again; nil before the first time
	latest atomic.Pointer[rates]

	mu               sync.Mutex
	at               time.Time
	used             time.Duration // processor time; zero where the system cannot tell
	requests, errors uint64
}

// rates returns the latest ones.
func (l *loadReport) rates(now time.Time) rates {
	m := &l.meter
	if due := m.next.Load(); due == nil || !now.Before(*due) {
		next := now.Add(time.Second)
		if m.next.CompareAndSwap(due, &next) {
			l.measure(now)
		}
	}
	if r := m.latest.Load(); r != nil {
		return *r
	}
	return rates{}
}

func (l *loadReport) measure(now time.Time) {
	m := &l.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	used, requests, errors := cpuTime(), l.requests.Load(), l.errors.Load()
	if wall := now.Sub(m.at); !m.at.IsZero() && wall > 0 {
		cpu := float64(used-m.used) / float64(wall) / float64(runtime.GOMAXPROCS(0))
		m.latest.Store(&rates{
			cpu: min(max(cpu, 0), 1),
			qps: float64(requests-m.requests) / wall.Seconds(),
			eps: float64(errors-m.errors) / wall.Seconds(),
		})
	}
	m.at, m.used, m.requests, m.errors = now, used, requests, errors
}

// record counts a request that took d.
func (l *loadReport) record(d time.Duration, failed bool) {
	l.requests.Add(1)
	if failed {
		l.errors.Add(1)
	}
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

// header returns the report as the value of its header, which must not be
// changed.
func (l *loadReport) header(inflight int) []string {
	now := time.Now()
	if inflight < 0 || inflight >= len(l.texts) {
		return []string{l.text(now, inflight)}
	}
	t := l.texts[inflight].Load()
	if t == nil || !now.Before(t.expires) {
		t = &loadText{[1]string{l.text(now, inflight)}, now.Add(reportAge)}
		l.texts[inflight].Store(t)
	}
	return t.value[:]
}

func (l *loadReport) text(now time.Time, inflight int) string {
	r := l.rates(now)
	buf := make([]byte, 0, 144)
	buf = append(buf, "TEXT named_metrics.rif="...)
	buf = strconv.AppendInt(buf, int64(inflight), 10)
	buf = append(buf, ", named_metrics.latency_ms="...)
	buf = strconv.AppendFloat(buf, math.Float64frombits(l.latency.Load()), 'f', 3, 64)
	buf = append(buf, ", cpu_utilization="...)
	buf = strconv.AppendFloat(buf, r.cpu, 'f', 3, 64)
	buf = append(buf, ", rps_fractional="...)
	buf = strconv.AppendFloat(buf, r.qps, 'f', 3, 64)
	if r.eps > 0 { // what is missing is zero
		buf = append(buf, ", eps="...)
		buf = strconv.AppendFloat(buf, r.eps, 'f', 3, 64)
	}
	return string(buf)
}

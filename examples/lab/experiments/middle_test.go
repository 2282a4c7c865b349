package experiments

import (
	"testing"

	"github.com/gabion-go/gabion/examples/lab/bench"
)

func TestMiddle(t *testing.T) {
	row := func(success, recovery, extra float64) bench.Row {
		r := bench.Row{Policy: "p", Success: &success, RecoveryS: &recovery}
		r.Add("extra", extra)
		return r
	}
	rows := []bench.Row{row(0.9, -1, 5), row(0.7, 3, 1), row(0.8, 8, 2)}
	m := middle(rows)
	if *m.Success != 0.8 || *m.RecoveryS != 8 || m.Extra[0].Value != 2 || m.P50 != nil {
		t.Errorf("got success %v, recovery %v, extra %v", *m.Success, *m.RecoveryS, m.Extra)
	}
	if m := middle([]bench.Row{row(0, -1, 0), row(1, -1, 1), row(0.5, 4, 4)}); *m.RecoveryS != -1 {
		t.Errorf("recovery %v, want never", *m.RecoveryS)
	}
	if *rows[0].Success != 0.9 || rows[0].Extra[0].Value != 5 {
		t.Error("a row was changed")
	}
	if m := middle(rows[:2]); *m.Success != 0.8 || *m.RecoveryS != -1 {
		t.Errorf("of two: success %v, recovery %v, want 0.8 and never", *m.Success, *m.RecoveryS)
	}
}

package limit

// Criticality says how much a request matters when not all can be served. The
// zero value is the default, Critical. Higher values matter more.
type Criticality int8

// The classes, from what is refused first to what is refused last. Source:
// "Handling Overload", Site Reliability Engineering, O'Reilly 2016, chapter 21.
const (
	Sheddable     Criticality = iota - 2 // may be refused often, and may be away for long
	SheddablePlus                        // partly refused at times; batch work
	Critical                             // users notice: what is not marked is this
	CriticalPlus                         // refused last; for the few calls that users notice most
)

const classes = 4

var criticalityNames = [classes]string{"critical_plus", "critical", "sheddable_plus", "sheddable"}

// class returns the index of c among the names, 0 for the most critical. A
// value out of range counts as the nearest in range.
func (c Criticality) class() int {
	return int(CriticalPlus - min(max(c, Sheddable), CriticalPlus))
}

// String returns the name that the header X-Gabion-Criticality carries.
func (c Criticality) String() string { return criticalityNames[c.class()] }

// ParseCriticality reads a name as String gives it. Anything else, the empty
// string included, is Critical: whoever cannot spell gains nothing by it.
func ParseCriticality(s string) Criticality {
	for i, name := range criticalityNames {
		if s == name {
			return CriticalPlus - Criticality(i)
		}
	}
	return Critical
}

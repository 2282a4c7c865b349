package transporttest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// indentJSON writes v, which is plain data, for people to copy.
func indentJSON(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // NaN, for example, which no valid data has
		return err.Error()
	}
	return string(b)
}

// goLiteral writes v, which is plain data, as an expression of Go. What is zero
// is left out.
func goLiteral(v any) string {
	var b strings.Builder
	writeGo(&b, reflect.ValueOf(v), "", true)
	return b.String()
}

func writeGo(b *strings.Builder, v reflect.Value, indent string, typed bool) {
	if d, ok := v.Interface().(time.Duration); ok {
		b.WriteString(goDuration(d))
		return
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map:
		if typed {
			b.WriteString(v.Type().String())
		}
		writeComposite(b, v, indent)
	case reflect.String:
		b.WriteString(strconv.Quote(v.String()))
	default:
		fmt.Fprint(b, v.Interface())
	}
}

// writeComposite writes what is between braces, one element a line if one needs
// it.
func writeComposite(b *strings.Builder, v reflect.Value, indent string) {
	elements := elementsOf(v)
	lines := slices.ContainsFunc(elements, element.needsLine)
	inner := indent
	if lines {
		inner += "\t"
	}
	b.WriteString("{")
	for i, e := range elements {
		switch {
		case lines:
			b.WriteString("\n" + inner)
		case i > 0:
			b.WriteString(", ")
		}
		if e.name != "" {
			b.WriteString(e.name + ": ")
		}
		writeGo(b, e.value, inner, v.Kind() == reflect.Struct)
		if lines {
			b.WriteString(",")
		}
	}
	if lines {
		b.WriteString("\n" + indent)
	}
	b.WriteString("}")
}

// element is a field, an entry or an item.
type element struct {
	name  string
	value reflect.Value
}

// needsLine reports whether e is a struct in a list, or a list of structs.
func (e element) needsLine() bool {
	if e.value.Kind() == reflect.Slice {
		return e.value.Type().Elem().Kind() == reflect.Struct
	}
	return e.name == "" && e.value.Kind() == reflect.Struct
}

func elementsOf(v reflect.Value) []element {
	var all []element
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				all = append(all, element{v.Type().Field(i).Name, v.Field(i)})
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, element{"", v.Index(i)})
		}
	default:
		for _, k := range v.MapKeys() {
			all = append(all, element{strconv.Quote(k.String()), v.MapIndex(k)})
		}
		slices.SortFunc(all, func(a, b element) int { return strings.Compare(a.name, b.name) })
	}
	return all
}

// goDuration writes d in the largest unit that gives a whole number.
func goDuration(d time.Duration) string {
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{
		{time.Hour, "time.Hour"}, {time.Minute, "time.Minute"}, {time.Second, "time.Second"},
		{time.Millisecond, "time.Millisecond"}, {time.Microsecond, "time.Microsecond"},
	} {
		switch {
		case d == unit.d:
			return unit.name
		case d != 0 && d%unit.d == 0:
			return fmt.Sprintf("%d * %s", d/unit.d, unit.name)
		}
	}
	return strconv.FormatInt(int64(d), 10)
}

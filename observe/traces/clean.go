package traces

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/gabion-go/gabion/observe/internal/redact"
)

// cleanSpans returns spans without secrets. It runs on the way to the exporter,
// where it delays nobody.
func cleanSpans(spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	clean, memory := make([]sdktrace.ReadOnlySpan, len(spans)), make([]cleanSpan, len(spans))
	for i, s := range spans {
		memory[i].ReadOnlySpan = s
		clean[i] = &memory[i]
	}
	return clean
}

// cleanSpan is a span whose texts are cleaned when they are read.
type cleanSpan struct{ sdktrace.ReadOnlySpan }

// Name implements [sdktrace.ReadOnlySpan].
func (s *cleanSpan) Name() string { return validUTF8(redact.Text(s.ReadOnlySpan.Name())) }

// Status implements [sdktrace.ReadOnlySpan].
func (s *cleanSpan) Status() sdktrace.Status {
	st := s.ReadOnlySpan.Status()
	st.Description = validUTF8(redact.Text(st.Description))
	return st
}

// Attributes implements [sdktrace.ReadOnlySpan].
func (s *cleanSpan) Attributes() []attribute.KeyValue {
	return cleanAttributes(s.ReadOnlySpan.Attributes())
}

// Events implements [sdktrace.ReadOnlySpan].
func (s *cleanSpan) Events() []sdktrace.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Name = validUTF8(redact.Text(events[i].Name))
		events[i].Attributes = cleanAttributes(events[i].Attributes)
	}
	return events
}

// Links implements [sdktrace.ReadOnlySpan].
func (s *cleanSpan) Links() []sdktrace.Link {
	links := slices.Clone(s.ReadOnlySpan.Links())
	for i := range links {
		links[i].Attributes = cleanAttributes(links[i].Attributes)
	}
	return links
}

func cleanAttributes(attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = slices.Clone(attrs)
	for i, a := range attrs {
		switch {
		case redact.Key(lastPart(string(a.Key))):
			attrs[i].Value = attribute.StringValue(redact.Mark)
		case a.Value.Type() == attribute.STRING:
			attrs[i].Value = attribute.StringValue(validUTF8(redact.Text(a.Value.AsString())))
		case a.Value.Type() == attribute.STRINGSLICE:
			attrs[i].Value = cleanStrings(a.Value.AsStringSlice())
		}
	}
	return attrs
}

// lastPart returns what follows the last dot, as in
// http.request.header.authorization.
func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

func cleanStrings(all []string) attribute.Value {
	for i := range all {
		all[i] = validUTF8(redact.Text(all[i]))
	}
	return attribute.StringSliceValue(all)
}

// validUTF8 returns s with what is no UTF-8 replaced: exporters refuse a whole
// batch for one bad byte.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

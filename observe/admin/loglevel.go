package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// maxLevelBody bounds the body of a PUT /loglevel in bytes.
const maxLevelBody = 1024

// levelHandler shows and changes a log level, as text such as debug, or as JSON
// such as {"level":"debug"}.
type levelHandler struct {
	level *slog.LevelVar
	log   *slog.Logger
}

func (h levelHandler) get(w http.ResponseWriter, r *http.Request) {
	h.show(w, strings.Contains(r.Header.Get("Accept"), "json"))
}

func (h levelHandler) show(w http.ResponseWriter, asJSON bool) {
	name := strings.ToLower(h.level.Level().String())
	contentType, body := "text/plain; charset=utf-8", name+"\n"
	if asJSON {
		contentType, body = "application/json", fmt.Sprintf("{\"level\":%q}\n", name)
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, body) // a reader that has left needs no answer
}

func (h levelHandler) put(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLevelBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxLevelBody))
		return
	}
	if err != nil {
		problem(w, http.StatusBadRequest, "the body could not be read")
		return
	}
	body = bytes.TrimSpace(body)
	asJSON := bytes.HasPrefix(body, []byte("{")) || strings.Contains(r.Header.Get("Content-Type"), "json")
	level, err := parseLevel(body, asJSON)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if was := h.level.Level(); was != level {
		h.level.Set(level)
		h.log.Warn("log level changed", "from", was.String(), "to", level.String())
	}
	h.show(w, asJSON)
}

func parseLevel(body []byte, asJSON bool) (slog.Level, error) {
	name := string(body)
	if asJSON {
		var in struct {
			Level *string `json:"level"`
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		err := dec.Decode(&in)
		if _, end := dec.Token(); err != nil || !errors.Is(end, io.EOF) || in.Level == nil {
			return 0, errors.New(`want one JSON object such as {"level":"debug"}`)
		}
		name = *in.Level
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("level %.40q: want debug, info, warn or error, or one with an offset such as info+2", name)
	}
	return level, nil
}

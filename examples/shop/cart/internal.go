package cart

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/gabion-go/gabion/transport"
)

// peerHandler is what replicas ask each other.
type peerHandler struct {
	store *Store
	rep   *Replicator
	log   *slog.Logger
}

// InternalRoutes returns what replicas ask each other, by [http.ServeMux]
// pattern:
//
//	GET  /internal/changes?after=N&from=STORE&url=URL  {"store","next","more","carts"}
//	GET  /internal/carts/{id}                          one cart, whole
//	POST /internal/carts                               {"from","carts"} -> 204
func InternalRoutes(store *Store, rep *Replicator, log *slog.Logger) map[string]http.HandlerFunc {
	h := &peerHandler{store, rep, log}
	return map[string]http.HandlerFunc{
		"GET /internal/changes":    h.changes,
		"GET /internal/carts/{id}": h.one,
		"POST /internal/carts":     h.merge,
	}
}

func (h *peerHandler) changes(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := strconv.ParseUint(query.Get("after"), 10, 63)
	if err != nil {
		transport.WriteProblem(w, r, transport.Problem{Status: http.StatusBadRequest, Detail: "after must be a whole number."})
		return
	}
	// Before the log is read: a change that this answer lacks is pushed.
	h.rep.Heard(query.Get("from"), query.Get("url"))
	carts, next, more, err := h.store.Changes(after, pullLimit)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, changesJSON{h.store.ID(), next, more, carts})
}

func (h *peerHandler) one(w http.ResponseWriter, r *http.Request) {
	c, err := h.store.Get(r.PathValue("id"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, c)
}

func (h *peerHandler) merge(w http.ResponseWriter, r *http.Request) {
	// Not strict: a newer replica may know more than this one.
	var in pushJSON
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnswer)).Decode(&in)
	if err != nil || slices.ContainsFunc(in.Carts, func(c Cart) bool { return !saneID(c.ID) }) {
		transport.WriteProblem(w, r, transport.Problem{Status: http.StatusBadRequest, Detail: "These are no carts."})
		return
	}
	if err := h.rep.Merge(in.Carts); err != nil {
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *peerHandler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, ErrNotFound) {
		status = http.StatusNotFound
	} else {
		h.log.ErrorContext(r.Context(), "request of a replica failed", "error", err)
	}
	transport.WriteProblem(w, r, transport.Problem{Status: status})
}

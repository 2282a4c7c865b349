package sim

import (
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// Config says what is run. It is plain data; a zero field means its default. In
// JSON the names are in lower case, durations are strings such as "10s", and an
// unknown name is an error.
type Config struct {
	// Name of the run, for the report.
	Name string
	// Seed of everything random.
	Seed uint64
	// For is how long calls begin. Those under way then are awaited.
	For time.Duration
	// Clients and Servers, in groups of the same kind.
	Clients []Clients
	Servers []Servers
	// Load is who calls what when. A stream's calls are spread over the clients
	// of its group evenly at random; the workers of a closed loop are dealt out
	// one by one. A worker that is refused without any delay waits for a
	// millisecond, or time would stand still.
	Load []load.Load
	// Changes happen in the course of time.
	Changes []Change
	// Network is how long a request, and an answer, travels. Default 0.
	Network dist.Dist
	// Lists says how clients learn which servers there are.
	Lists Lists
	// Events puts what breakers and balancers of each client do among the
	// report's events, not only the changes.
	Events bool
}

// Clients are clients of one kind, each with a state of its own.
type Clients struct {
	// Name is what Load.Client refers to. Required.
	Name string `json:"name,omitzero"`
	// Count is how many there are. Default 1.
	Count int `json:"count,omitzero"`
	// Policy of the calls. ResponseBytes, and what concerns bodies, has no
	// meaning here.
	Policy transport.Policy `json:"policy,omitzero"`
	// Picker names one of the pickers given by [WithPicker], which then chooses
	// in place of Policy.Balance, without ejection and hedges. Default none.
	Picker string `json:"picker,omitzero"`
}

// The kinds of servers.
const (
	// Delay takes the time of a request, however many there are. The default.
	Delay = "delay"
	// Sharing works on all requests at once, each getting the same part of the
	// cores but no more than one.
	Sharing = "sharing"
	// Queue works on as many requests as it has workers, first come, first
	// served.
	Queue = "queue"
)

// Servers are servers of one kind.
type Servers struct {
	// Service that they serve, together with other groups of that name.
	// Required.
	Service string `json:"service,omitzero"`
	// Name of the group; its servers are called Name-0 and so on. Default
	// Service.
	Name string `json:"name,omitzero"`
	// Count is how many there are. Default 1.
	Count int `json:"count,omitzero"`
	// Weight is as in discovery.Instance.
	Weight int `json:"weight,omitzero"`
	// Kind is Delay, Sharing or Queue. Default Delay.
	Kind string `json:"kind,omitzero"`
	// Time is how long a request takes a server, or one core, that does nothing
	// else. Default 0.
	Time dist.Dist `json:"time,omitzero"`

	// Cores of a Sharing server that are its own, which may be a fraction.
	// Default 1.
	Cores float64 `json:"cores,omitzero"`
	// Burst is how many cores a Sharing server gets while its neighbours on the
	// machine are idle. Default Cores.
	Burst float64 `json:"burst,omitzero"`
	// Busy and Idle are for how long the neighbours are so, in turns, beginning
	// with a part of Idle. Default 0: they always are idle.
	Busy dist.Dist `json:"busy,omitzero"`
	Idle dist.Dist `json:"idle,omitzero"`

	// Workers of a Queue server. Default 1.
	Workers int `json:"workers,omitzero"`
	// Backlog is how many requests may wait for a worker. One more is answered
	// 503 at once. Default 0, without bound; negative is none.
	Backlog int `json:"backlog,omitzero"`

	// Limit puts an adaptive limiter in front. Default nil, none.
	Limit *limit.Settings `json:"limit,omitzero"`
	// Cancels says that work ends when its caller has given up or the call's
	// time is over. Default false: it runs on, for nobody.
	Cancels bool `json:"cancels,omitzero"`
	// Silent says that answers do not tell how many requests the server has.
	// Default false: they do, as those of the library's servers.
	Silent bool `json:"silent,omitzero"`
}

// Lists says how clients learn of servers that come and go. Each starts with
// the list of those that are there.
type Lists struct {
	// Delay from a change until a client has the new list, drawn for each
	// client and list. Default 0.
	Delay dist.Dist
	// Every is the least time between two lists; changes in between come
	// together. Default 0: every change makes a list.
	Every time.Duration
}

// The kinds of changes.
const (
	// Slow makes requests take Factor times as long: those that begin
	// meanwhile, and all under way of a Sharing server.
	Slow = "slow"
	// Fail answers Share of the requests with Status at once.
	Fail = "fail"
	// Down is a process that died: connections are refused, requests under way
	// are reset. The list keeps it.
	Down = "down"
	// Hang takes requests and never answers.
	Hang = "hang"
	// Leave takes servers out of the list. They go on serving.
	Leave = "leave"
	// Churn restarts one server after the other, drawn at random: it leaves
	// the list and is down for Away, then joins at another address.
	Churn = "churn"
)

// A Change is something that happens to servers at some time.
type Change struct {
	// Kind of the change. Required.
	Kind string
	// At is when it begins, and For how long it lasts. Default for For: until
	// the end.
	At, For time.Duration
	// Service or group of servers that it happens to: those with a matching
	// Servers.Service, or Servers.Name if that is not empty here.
	Service, Servers string
	// Count of them, beginning with the one numbered First. Default all from
	// there on.
	First, Count int

	// Factor of Slow. Required there.
	Factor float64
	// Share of requests that Fail, above 0 to 1. Default 1.
	Share float64
	// Status of the answers of Fail. Default 503.
	Status int
	// Every is the time from one restart of Churn to the next. Required there.
	Every time.Duration
	// Away is for how long a server that Churn restarts is gone. Default 0: it
	// is back at once.
	Away dist.Dist
}

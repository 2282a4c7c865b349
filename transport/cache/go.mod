module github.com/gabion-go/gabion/transport/cache

go 1.26.7

require (
	github.com/gabion-go/gabion v0.0.0
	github.com/maypok86/otter/v2 v2.4.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
)

replace github.com/gabion-go/gabion => ../..

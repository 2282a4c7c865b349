module github.com/gabion-go/gabion/examples

go 1.26.0

require github.com/gabion-go/gabion v0.0.0

replace github.com/gabion-go/gabion => ../

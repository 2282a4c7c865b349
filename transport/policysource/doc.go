// Package policysource keeps a client's policies as they are written down
// somewhere else: in a file, or in a key-value store such as Consul's.
//
// A [Source] yields documents, a [Follower] reads them and gives what they say to
// a [transport.Client]:
//
//	f := policysource.NewFollower(policysource.File("policies.json"), client, logger)
//	err := f.Run(ctx) // until ctx ends
//
// # Documents
//
// A document is taken or refused as a whole. A file is one document, that of all
// policies; of a store each key is one, that of one service, so that a mistake in
// one keeps nobody from changing another. A document that is refused, because it
// cannot be read or a setting in it makes no sense, leaves in force what it said
// when it was last good, and is logged once with the reason. One that was never
// good says nothing.
//
// What the documents say lies over the policies that the program has set; a
// policy that is taken out of them gives way to the program's again. See
// [transport.Client.SetPoliciesFrom].
package policysource

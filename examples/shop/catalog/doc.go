// Package catalog is the shop's list of products: what they are called, how
// they look and which go together. It knows neither prices nor stock.
//
// The products live in one SQLite file that all replicas of the service share.
package catalog

// Package contain keeps a panic in the work for one connection there.
package contain

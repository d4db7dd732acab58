// Package storage is the media end of localkvs's storage sessions. It offers, receives H.264 and Opus, writes an MP4
// file for each session of a master, and shows viewers what the master sends.
//
//	master ── answers ──► Session ── RTP ──► samples ──► <channel>-<time>.mp4
//	                         │
//	                         └── RTP, renumbered ──► Session of each viewer ──► viewer
//
// Give [Store.Session] to localkvs.Options.Storage. (KVS WebRTC developer guide, "WebRTC ingestion".)
package storage

// For maintainers: one goroutine owns a session and runs the closures that Pion's callbacks and the track readers post
// to it, so a session needs no lock. outlet.go holds what the sessions of one channel share.

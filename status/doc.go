// Package status shows the state of the agent: one Report as page, JSON, metrics and health.
//
//	GET  /                              the page: channels, viewers, sources and the live picture
//	GET  /healthz                       200 while the process is alive
//	GET  /readyz                        200 when every channel is connected, else 503 and which are not, and why
//	GET  /api/v1/report                 the Report as JSON
//	GET  /metrics                       the Report as Prometheus text
//	POST /api/v1/reload                 {} reads the config again, and answers when it runs, or why it does not
//	POST /api/v1/channels/{name}/watch  the picture's signaling
//	POST /api/v1/channels/{name}/offers {"client_id": "tablet"} has the master offer to a client, now
//	PUT  /api/v1/sources/{name}/privacy {"on": true} closes a source, {"on": false} opens it
//
//	GET  /api/v1/sources/{name}/snapshot.jpg   the newest key frame as a picture
//	GET  /api/v1/sources/{name}/snapshot.h264  the same as it came; .h265, and .ivf for VP8, VP9 and AV1
//
// # Watching
//
// The page watches a channel as every KVS viewer does, through the real signaling channel, but the agent does the
// signing: no pre-signed URL and no key ever reaches the page.
//
//	page --{"sdp": offer}--> Handler --Options.Watch--> the agent's own KVS viewer --SDP_OFFER--> the channel's master
//	page <--NDJSON, one Signal a line-- Handler <--send-- the same <--SDP_ANSWER, ICE_CANDIDATE-- the channel's master
//
// The offer contains all candidates of the page, so nothing needs to be sent after it. The stream stays open while the
// page watches, so that late candidates arrive. Closing it ends signaling, but not the picture.
//
// # Who may look
//
// Options.Users asks for a login; without users the handler is meant for a loopback address or a Unix socket. It has
// two protections against the web pages of other sites that run in a browser on this machine. The Host header must be a
// loopback name or one of Options.Hosts (against DNS rebinding). A POST or PUT must come from our own page (against
// cross-site requests).
package status

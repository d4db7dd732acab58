# make test    everything that must pass before a change lands; installs what it needs (Debian packages, npm packages) and ends with the
#              time that each stage took
# make unit    go test -race of every room
# make e2e     the binary against real browsers, cameras and AWS tools
# make lint    gofmt, vet, staticcheck
# make vuln    govulncheck with the offline database, when there is one
# make fuzz    each fuzz target for FUZZTIME (30s)
# make bench   what needs a machine that does nothing else: the Go benchmarks of every room, and the goals of a viewer whose link narrows
# make build   the binary, static and reproducible

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:

export GOTOOLCHAIN := local
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
UNIT    := $$(go list ./... | grep -v '/e2e$$')
FUZZTIME ?= 30s
TOOL    := go tool -modfile=tools/go.mod

.PHONY: test unit lint vuln e2e bench build fuzz fuzz-short provision

test:
	@MAKE='$(MAKE)' tools/stages provision lint vuln unit fuzz-short e2e

provision:
	tools/provision

lint:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt -w is due on:"; echo "$$out"; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...
	go mod verify

vuln:
	tools/vuln

unit:
	go test -race -timeout 15m $(UNIT)

# Tests that are parallel wait nearly all their time: for time-outs of ICE, for cameras, for keys that end.
e2e: provision
	go test -count=1 -timeout 30m -parallel 6 ./e2e

fuzz:
	tools/fuzz $(FUZZTIME)

fuzz-short:
	tools/fuzz 10s signaling
	tools/fuzz 2s agent config credentials internal localkvs media peer

bench:
	go test -run '^$$' -bench . -benchmem $(UNIT)
	KVSAGENT_TEST_GOALS=1 go test -count=1 -run '^TestSqueeze$$' -v ./e2e

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -buildid= -X main.linked=$(VERSION)' -o kvsagent ./cmd/kvsagent

# make test    everything that must pass before a change lands; installs what it needs (Debian packages, npm packages)
# make unit    go test -race of every room
# make e2e     the binary against real browsers, cameras and AWS tools
# make lint    gofmt, vet, staticcheck
# make vuln    govulncheck with the offline database, when there is one
# make fuzz    each fuzz target for FUZZTIME (30s)
# make bench   the Go benchmarks of every room
# make build   the binary, static and reproducible

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:

export GOTOOLCHAIN := local
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
UNIT    := $$(go list ./... | grep -v '/e2e$$')
FUZZTIME ?= 30s
TOOL    := go tool -modfile=tools/go.mod

.PHONY: test unit lint vuln e2e bench build fuzz provision

test: provision lint vuln unit
	tools/fuzz 10s signaling
	tools/fuzz 2s agent config credentials internal localkvs media peer
	$(MAKE) e2e

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
	go test -race -timeout 8m $(UNIT)

e2e: provision
	go test -count=1 -timeout 20m ./e2e/...

fuzz:
	tools/fuzz $(FUZZTIME)

bench:
	go test -run '^$$' -bench . -benchmem $(UNIT)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -buildid= -X main.linked=$(VERSION)' -o kvsagent ./cmd/kvsagent

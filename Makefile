# Rollcall: "make" prints what there is. CI runs "make test" and nothing else.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-print-directory

GO   ?= go
TOOL := $(GO) tool -modfile=internal/tools/go.mod

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
OUT      ?= bin
LDFLAGS  := -s -w -buildid= -X main.version=$(VERSION)
# grpcnotrace leaves golang.org/x/net/trace and html/template out: 3 MB of 15.
PROGRAMS := rollcall rollcall-agent rollcall-server rollcall-recovery $(notdir $(wildcard cmd/rollcall-bench))

# The agent is on every machine, so it is small: what is not hot in it is compiled
# without inlining and laid out without gaps. That makes 1.2 MB of 13.5 less and takes no
# more processor time, as long as what is hot is left out. The messages of operators,
# which an agent never speaks, are not in it: 0.4 MB (docs/install.md has figures).
HOT      := rollcall/agent/etc rollcall/internal/... runtime/... internal/runtime/... bytes strings strconv unicode/... hash/...
SMALL    := -gcflags=all=-l $(HOT:%='-gcflags=%=')
SMALL_LD := -funcalign=1

# Debian packages: what the checks and tests use beside Go. gcc is for the race
# detector; the programs themselves are built without C.
NEEDED := git gcc libc6-dev protobuf-compiler libprotobuf-dev iproute2 nftables zstd age strace busybox-static systemd shellcheck

BENCH    ?= .
FUZZTIME ?= 30s
TORTURE  ?= ^Test.*
SOAK     ?= 10m
AGENTS   ?= 10
SEED     ?= 1
PUZZLES  ?=
MACHINES ?= 2000
VULNDB   ?= https://vuln.go.dev

# Of the packages: that of a tag, or the tag before, how many commits ago, and which one
# this is.
DEBVERSION = $(shell internal/tools/debversion)
DEBARCH   ?= amd64 arm64
REPO      ?= dist/repo
REPOURL   ?= https://tjener.intern/rollcall
SUITES    ?= bookworm trixie
DEBTOOLS  := debhelper po-debconf lintian dpkg-dev

.DEFAULT_GOAL := help
# All of them: there are folders named like some of these.
.PHONY: help build demo test check lint generated race generate bench bench-peer puzzles fuzz torture soak sbom licences vuln repro deb repo deb-test bench-agent clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the static programs into bin/
	@mkdir -p $(OUT)
	for p in $(PROGRAMS); do
	  echo "$(OUT)/$$p"
	  flags=(-ldflags '$(LDFLAGS)') tags=grpcnotrace
	  [[ $$p != rollcall-agent ]] || flags=(-ldflags '$(LDFLAGS) $(SMALL_LD)' $(SMALL)) tags=grpcnotrace,agentwire
	  CGO_ENABLED=0 $(GO) build -tags "$$tags" -trimpath -buildvcs=false "$${flags[@]}" -o $(OUT)/$$p ./cmd/$$p
	done

demo: ## build, then watch this machine and a recorded class being inventoried, compared and restored
	@internal/tools/need git zstd age
	$(MAKE) build
	demo/run

test: ## what CI runs: install what is missing (as root), then check
	@internal/tools/need $(NEEDED)
	$(MAKE) check

check: lint generated race ## format, vet, fix, staticcheck, generated code, all tests with the race detector

# Each rule of staticcheck is on. Where one is wrong about a line, the line
# says so: //lint:ignore CHECK reason.
lint:
	@echo "gofumpt"
	unformatted=$$($(TOOL) gofumpt -l .)
	if [[ -n $$unformatted ]]; then
	  echo "not formatted; run: $(TOOL) gofumpt -w ." $$unformatted >&2
	  exit 1
	fi
	echo "vet"
	$(GO) vet ./...
	$(GO) vet -C internal/tools ./...
	echo "fix"
	fixes=$$($(GO) fix -diff ./... || true)
	if [[ -n $$fixes ]]; then
	  printf '%s\n' "$$fixes" "outdated constructs; run: $(GO) fix ./..." >&2
	  exit 1
	fi
	echo "staticcheck"
	$(TOOL) staticcheck -checks all ./...

# The header names protoc's version, which is not ours to choose.
generated:
	@echo "generated code"
	fresh=$$(mktemp -d)
	trap 'rm -rf "$$fresh"' EXIT
	$(call protoc,$$fresh)
	for f in $$(cd proto && find . -name '*.pb.go') $$(cd "$$fresh" && find . -name '*.pb.go'); do
	  diff -u -I '^//.*protoc ' "proto/$$f" "$$fresh/$$f" || { echo "proto/$$f is not current; run: make generate" >&2; exit 1; }
	done

# CI judges a change, not luck: random content has the same SEED each time there.
# "go test" alone and "make torture" draw a new one at each run.
race: export ROLLCALL_SEED = $(SEED)
race:
	@echo "tests"
	{
	  result=0
	  $(GO) test -race -timeout 20m -json ./... || result=1
	  $(GO) test -C internal/tools -timeout 5m -json ./... || result=1
	  exit $$result
	} | $(GO) run -C internal/tools ./counts

# protoc writes the Go code of all .proto files below the folder $(1). With the tag
# agentwire only what an agent says and hears is compiled in.
define protoc
protoc -I proto \
	  --plugin=protoc-gen-go="$$($(TOOL) -n protoc-gen-go)" \
	  --plugin=protoc-gen-go-grpc="$$($(TOOL) -n protoc-gen-go-grpc)" \
	  --go_out=$(1) --go_opt=paths=source_relative \
	  --go-grpc_out=$(1) --go-grpc_opt=paths=source_relative \
	  $$(cd proto && find rollcall -name '*.proto' | sort)
	find $(1) -name '*.pb.go' -exec $(TOOL) gofumpt -modpath rollcall -w {} +
	find $(1) -name '*.pb.go' ! -name 'agent*' ! -name 'restore*' -exec sed -i '1i //go:build !agentwire\n' {} +
endef

# Man pages, completions and the like are made by tests named TestGenerated…
# with the flag -update; without it they compare.
generate: ## write protobuf code, man pages and completions anew
	@internal/tools/need protobuf-compiler libprotobuf-dev
	$(call protoc,proto)
	packages=$$({ grep -rl --include='*_test.go' '^func TestGenerated' cmd || true; } | xargs -r dirname | sort -u | sed 's|^|./|')
	[[ -z $$packages ]] || $(GO) test $$packages -run '^TestGenerated' -update

bench: ## run the benchmarks (BENCH=REGEXP chooses)
	@packages=$$({ grep -rl --include='*_test.go' '^func Benchmark' agent cmd internal proto server || true; } | xargs -r dirname | sort -u | sed 's|^|./|')
	[[ -z $$packages ]] || $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $$packages

bench-peer: ## PuppetDB, PostgreSQL and Rollcall, the same MACHINES and questions; as root, half an hour
	@internal/tools/need puppetdb postgresql python3-minimal
	$(MAKE) build
	folder=$$(mktemp -d)
	trap 'rm -rf "$$folder"' EXIT
	chmod 755 "$$folder"
	internal/tools/peer "$$folder/peer" bin/rollcall-bench peer --machines $(MACHINES)

puzzles: ## answer cases of broken and working machines: those in PUZZLES=DIR, or the shared ones (minutes)
	@mkdir -p bin
	$(GO) build -o bin/rollcall-bench ./cmd/rollcall-bench
	internal/tools/puzzles bin/rollcall-bench ../shared/puzzles $(PUZZLES)

# A find of new coverage would be made smaller for a minute otherwise, which is all of
# the time that there is for an input of some kilobytes.
fuzz: ## run each fuzz target for FUZZTIME=30s
	@{ grep -rn --include='*_test.go' '^func Fuzz' agent cmd internal proto server || true; } | sort |
	  sed -E 's|^([^:]*)/[^/:]*:[0-9]+:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' |
	  while read -r folder target; do
	    echo "$$folder $$target"
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "./$$folder" </dev/null
	  done

# The long forms of tests that say so in their text: killing, power cuts, hostile
# peers. ROLLCALL_SEED repeats a run; each test prints the seed that it used.
torture: export ROLLCALL_TORTURE = 1
torture: ## run the long forms of the fault tests (an hour; TORTURE=REGEXP chooses)
	@internal/tools/need $(NEEDED)
	packages=$$({ grep -rl --include='*_test.go' ROLLCALL_TORTURE agent cmd internal proto server || true; } | xargs -r dirname | sort -u | sed 's|^|./|')
	[[ -z $$packages ]] || $(GO) test $$packages -run '$(TORTURE)' -count=1 -v -p 1 -timeout 4h

soak: export ROLLCALL_SOAK   = $(SOAK)
soak: export ROLLCALL_AGENTS = $(AGENTS)
soak: ## let a server and AGENTS=10 agents work for SOAK=10m; a table, and an error if anything grows
	@internal/tools/need $(NEEDED)
	$(GO) test ./cmd/rollcall-server -run '^TestSoak$$' -count=1 -v -timeout 24h

sbom: build ## write what is in each program as bin/PROGRAM.cdx.json (CycloneDX)
	for p in $(PROGRAMS); do
	  echo "bin/$$p.cdx.json"
	  $(GO) run -C internal/tools ./sbom "$$PWD/bin/$$p" '$(VERSION)' >"bin/$$p.cdx.json"
	done

licences: build ## write the licences of the libraries in each program as bin/PROGRAM.licences
	for p in $(PROGRAMS); do
	  {
	    echo "Go: https://go.dev"
	    cat "$$($(GO) env GOROOT)/LICENSE"
	    $(GO) version -m "bin/$$p" | awk '$$1 == "dep" { print $$2 }' | while read -r module; do
	      printf '\n%s\n' "$$module"
	      find "$$($(GO) list -m -f '{{.Dir}}' "$$module")" -maxdepth 1 -name 'LICEN[CS]E*' -o -maxdepth 1 -name 'NOTICE*' | sort | xargs cat
	    done
	  } >"bin/$$p.licences"
	done

deb: ## build the Debian packages of this commit into dist/ (DEBARCH=amd64 arm64), and check them
	@internal/tools/need $(DEBTOOLS)
	internal/tools/deb dist '$(DEBVERSION)' $(DEBARCH)
	lintian --fail-on error,warning $(foreach a,$(DEBARCH),dist/*_'$(DEBVERSION)'_$(a).deb)
	ls -l dist/*_'$(DEBVERSION)'_*.deb

# KEY=NAME is a key of gpg. Without it one is made on first use, see internal/tools/repo.
repo: deb ## put the packages into a signed apt repository (REPO=dist/repo, REPOURL=where machines find it, KEY=who signs)
	@internal/tools/need apt-utils gnupg
	internal/tools/repo '$(REPO)' '$(REPOURL)' $(foreach a,$(DEBARCH),dist/*_'$(DEBVERSION)'_$(a).deb)

# The build before is this one with an earlier version.
deb-test: deb ## install, enrol, upgrade, remove and purge the packages in roots of Debian 12 and 13; as root, minutes
	@internal/tools/need debootstrap systemd-container apt-utils gnupg
	folder=$$(mktemp -d)
	trap 'rm -rf "$$folder"' EXIT
	architecture=$$(dpkg --print-architecture)
	internal/tools/deb "$$folder/old" '$(DEBVERSION)~before' "$$architecture"
	mkdir "$$folder/new"
	cp dist/*_'$(DEBVERSION)'_"$$architecture".deb "$$folder/new/"
	for suite in $(SUITES); do
	  internal/tools/debtest "$$suite" "$$folder/old" "$$folder/new"
	done

bench-agent: ## our agent beside those of FusionInventory, OCS and sitesummary, in one run; as root, after deb-test
	@internal/tools/need $(DEBTOOLS) strace time
	architecture=$$(dpkg --print-architecture)
	internal/tools/deb dist '$(DEBVERSION)' "$$architecture"
	internal/tools/agentbench dist/rollcall-agent_'$(DEBVERSION)'_"$$architecture".deb

# Of the packages themselves, their tests left out. VULNDB is an address, or a
# checkout of github.com/golang/vulndb where there is no network.
vuln: ## look for known vulnerabilities that the programs reach (VULNDB=CHECKOUT: without a network)
	@db='$(VULNDB)'
	if [[ -d $$db ]]; then
	  made=$$(mktemp -d)
	  trap 'rm -rf "$$made"' EXIT
	  $(GO) run -C internal/tools ./vulndb "$$(realpath "$$db")/data/osv" "$$made"
	  db=file://$$made
	fi
	$(TOOL) govulncheck -db "$$db" -tags grpcnotrace ./cmd/...

# The second build has another folder and an empty cache. Anybody else's with the
# same Go and VERSION gives the same bytes too.
repro: ## build everything twice, programs and packages of the last commit, in two folders, and compare
	@here=$$(mktemp -d)
	trap 'chmod -R u+w "$$here"; rm -rf "$$here"' EXIT
	git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$$here"
	$(MAKE) build
	echo "again, elsewhere and with nothing cached"
	GOCACHE="$$here/.cache" $(MAKE) -C "$$here" build VERSION='$(VERSION)' >/dev/null
	for p in $(PROGRAMS); do
	  cmp "bin/$$p" "$$here/bin/$$p"
	  (cd bin && sha256sum "$$p")
	done
	internal/tools/need $(DEBTOOLS)
	git clone -q . "$$here/clone"
	internal/tools/deb "$$here/one" '$(DEBVERSION)' $(DEBARCH)
	(cd "$$here/clone" && GOCACHE="$$here/.cache" internal/tools/deb "$$here/two" '$(DEBVERSION)' $(DEBARCH))
	(cd "$$here/one" && sha256sum *.deb | tee "$$here/sums")
	(cd "$$here/two" && sha256sum --quiet -c "$$here/sums")

clean: ## remove what make made
	rm -rf bin dist

# A recipe is one script, so that loops and traps read as such.
.ONESHELL:

# The two commands of the README are dev and test.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
NPM = --ignore-scripts --no-audit --no-fund
# Inputs, not seconds: go test fails where time is over before all known inputs are tried.
FUZZTIME ?= 2000x

.PHONY: bench bench-gate bench-nextauth browser build check dev docs e2e e2e-traefik fuzz parts pictures postgres proxies race test vuln

dev: postgres
	go run ./cmd/gatepost-dev

# Two at a time, since most of it waits; each says what it did when it is done.
test: parts
	@$(MAKE) --no-print-directory -j2 -Otarget race check vuln fuzz
	@$(MAKE) --no-print-directory -j2 -Otarget browser proxies

race:
	go test -race -shuffle=on -timeout 20m ./...

# What tests need besides Go; development needs only the first.
parts: postgres
	@bash .ci/parts.sh tools
	@bash .ci/parts.sh browser
	@bash .ci/parts.sh proxies
postgres:
	@bash .ci/parts.sh postgres

# A real browser, providers and reverse proxies that are not ours.
e2e: proxies browser
proxies:
	go test -tags e2e -run '^TestReal' ./cmd/internal/app
	go test -tags e2e ./e2e/proxies
browser:
	cd e2e && npm ci $(NPM) && npm ci $(NPM) --prefix nextauth && node --test

# The same tests of proxies with a real Traefik, which is built the first time
# (10 to 25 minutes); records anew what Traefik asks.
e2e-traefik: postgres
	@bash .ci/parts.sh proxies
	GATEPOST_E2E_TRAEFIK=$$(bash .ci/traefik.sh) go test -tags e2e -count=1 -timeout 20m ./e2e/proxies -record

check:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go mod verify
	go mod tidy -diff
	go vet -tags e2e ./...
	go run $(STATICCHECK) -tags e2e ./...

# The table of providers, from their documents.
docs:
	@{ sed '/^## Catalogue$$/,$$d' docs/providers.md; go run ./cmd/gatepost providers --markdown; } > docs/providers.md.new
	@mv docs/providers.md.new docs/providers.md

# docs/logos.png, with a real browser: every provider's button, light and dark.
pictures: postgres
	@bash .ci/parts.sh browser
	cd e2e && npm ci --ignore-scripts --no-audit --no-fund && node logos.mjs

fuzz:
	@bash .ci/fuzz.sh $(FUZZTIME)

bench:
	go test -run '^$$' -bench . ./bench

bench-gate: postgres
	go run ./bench/gate

bench-nextauth: postgres
	go run ./bench/nextauth

vuln:
	@bash .ci/vuln.sh $(GOVULNCHECK)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/gatepost ./cmd/gatepost

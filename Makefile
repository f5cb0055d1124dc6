# The two commands of the README are dev and test.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME ?= 3s

.PHONY: bench bench-gate dev docs test check e2e vuln fuzz build parts postgres

dev: postgres
	go run ./cmd/gatepost-dev

test: parts check
	go test -race -shuffle=on ./...
	$(MAKE) --no-print-directory e2e
	$(MAKE) --no-print-directory fuzz
	$(MAKE) --no-print-directory vuln

# What tests need besides Go; development needs only the first.
parts: postgres
	@bash .ci/parts.sh tools
	@bash .ci/parts.sh browser
	@bash .ci/parts.sh proxies
postgres:
	@bash .ci/parts.sh postgres

# A real browser, providers and reverse proxies that are not ours.
e2e:
	go test -tags e2e -run '^TestReal' ./cmd/internal/app
	go test -tags e2e ./e2e/proxies
	cd e2e && npm ci --ignore-scripts --no-audit --no-fund && node --test

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

fuzz:
	@bash .ci/fuzz.sh $(FUZZTIME)

bench:
	go test -run '^$$' -bench . ./bench

bench-gate: postgres
	go run ./bench/gate

vuln:
	@bash .ci/vuln.sh $(GOVULNCHECK)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/gatepost ./cmd/gatepost

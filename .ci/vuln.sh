#!/usr/bin/env bash
# Looks for known vulnerabilities that the code reaches: in the public database,
# or in the copy beside the checkout where that is out of reach.
set -euo pipefail
tool=$1
if curl -fsS -m 10 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; then
  exec go run "$tool" ./...
fi
copy=$(cd .. && pwd)/shared/vulndb
[ -d "$copy" ] || { echo "Neither the vulnerability database nor a copy of it can be read."; [ "${CI:-}" = true ] && exit 1; exit 0; }
exec go run "$tool" -db "file://$copy" ./...

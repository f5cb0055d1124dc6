#!/usr/bin/env bash
# Runs every fuzz target for so many inputs, 2000x, or so long, 1m.
set -euo pipefail
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
  grep -o '^func Fuzz[A-Za-z0-9]*' "$file" | cut -d' ' -f2 | while read -r target; do
    echo "fuzz $target"
    go test -run '^$' -fuzz "^$target\$" -parallel 1 -fuzztime "$1" -fuzzminimizetime 100x "./$(dirname "$file")" </dev/null
  done
done

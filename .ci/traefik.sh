#!/usr/bin/env bash
# Prints the path of a real Traefik, built once from its module: no distribution
# has it as a package. The first time takes 10 to 25 minutes and 4 GiB of memory.
set -euo pipefail
version=${TRAEFIK_VERSION:-v3.7.9}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gatepost-e2e
binary=$cache/traefik-$version
[ -x "$binary" ] && { echo "$binary"; exit 0; }
mkdir -p "$cache"
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
# go install refuses a module with replacements, so it is built where it lies.
cd "$scratch"
go mod init scratch >/dev/null 2>&1
source=$(go mod download -json "github.com/traefik/traefik/v3@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
cp -r "$source" "$scratch/source"
chmod -R u+w "$scratch/source"
cd "$scratch/source"
# A nested module that no registry has: the hook where another edition adds keys.
ext=pkg/config/dynamic/ext
if [ ! -d $ext ]; then
  mkdir -p $ext
  printf 'module github.com/traefik/traefik/dynamic/ext\n\ngo 1.26\n' >$ext/go.mod
  printf 'package ext\n\ntype HTTP struct{}\n\nfunc (in *HTTP) DeepCopyInto(out *HTTP) { *out = *in }\n\ntype Router struct{}\n\nfunc (in *Router) DeepCopyInto(out *Router) { *out = *in }\n' >$ext/ext.go
fi
echo "building Traefik $version" >&2
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$binary.new" ./cmd/traefik >&2
mv "$binary.new" "$binary"
echo "$binary"

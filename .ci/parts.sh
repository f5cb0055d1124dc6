#!/usr/bin/env bash
# Finds what is needed besides Go, and installs the system's own packages where
# it is missing: «postgres» for development and tests, «browser», «tools» and
# «proxies» for tests.
set -euo pipefail

any() { compgen -G "$1" >/dev/null; }
have_postgres() {
  [ -n "${GATEPOST_PG_BIN:-}" ] || command -v postgres >/dev/null || any '/usr/lib/postgresql/*/bin/postgres' ||
    any '/usr/libexec/postgresql*/postgres' || any '/usr/pgsql-*/bin/postgres' || any '/opt/homebrew/opt/postgresql@*/bin/postgres'
}
have_browser() { [ -x "${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }
have_pooler() { command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; }
have_pg_dump() { command -v pg_dump >/dev/null || any '/usr/lib/postgresql/*/bin/pg_dump' || any '/opt/homebrew/opt/postgresql@*/bin/pg_dump'; }
have_proxies() { [ -z "$(missing_proxies)" ]; }
# Servers are not in everybody's path.
missing_proxies() {
  PATH=$PATH:/usr/sbin:/usr/local/sbin
  for p in nginx caddy haproxy; do command -v $p >/dev/null || echo $p; done
  command -v apache2 >/dev/null || command -v httpd >/dev/null || echo apache2
  any '/usr/lib/*/lua/5.?/socket' || any '/usr/lib*/lua/5.?/socket' || any '/usr/local/lib/lua/5.?/socket' || echo lua-socket
}
have_node() { command -v node >/dev/null && command -v npm >/dev/null; }

sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
updated=
apt() {
  export DEBIAN_FRONTEND=noninteractive
  [ -n "$updated" ] || { $sudo apt-get -o DPkg::Lock::Timeout=300 update -q; updated=1; }
  $sudo apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"
}
# install «what» and its packages for apt, dnf, apk and brew
install() {
  echo "No $1 on this machine: installing the system's package."
  if command -v apt-get >/dev/null; then apt $2
  elif command -v dnf >/dev/null; then $sudo dnf install -y $3
  elif command -v apk >/dev/null; then $sudo apk add $4
  elif command -v brew >/dev/null; then brew install $5
  fi
}

case ${1:-} in
postgres)
  have_postgres && exit 0
  if command -v apt-get >/dev/null; then
    # Only the binaries are wanted, not a cluster on port 5432.
    $sudo mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  install 'Postgres server' postgresql postgresql-server postgresql postgresql@17
  have_postgres || { echo 'Postgres is still missing; install it, or name the folder of its binaries in GATEPOST_PG_BIN.'; exit 1; }
  ;;
browser)
  have_node || install 'Node.js' 'nodejs npm' nodejs 'nodejs npm' node
  have_browser || install 'Chromium' chromium chromium chromium chromium
  have_node && have_browser || { echo 'Node.js or Chromium is still missing; the browser tests need both.'; exit 1; }
  ;;
tools)
  have_pooler || install PgBouncer pgbouncer pgbouncer pgbouncer pgbouncer
  have_pg_dump || install pg_dump postgresql-client postgresql postgresql-client libpq
  have_pooler && have_pg_dump || { echo 'PgBouncer or pg_dump is still missing; the tests of the database need both.'; exit 1; }
  ;;
proxies)
  have_proxies && exit 0
  wanted=$(missing_proxies | tr '\n' ' ')
  # Only the binaries are wanted, not four servers on port 80.
  policy=/usr/sbin/policy-rc.d
  if command -v apt-get >/dev/null && [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null && $sudo chmod +x $policy
    trap '$sudo rm -f $policy' EXIT
  fi
  install "${wanted% }" "$wanted" 'nginx caddy haproxy httpd mod_lua lua-socket' 'nginx caddy haproxy apache2 apache2-lua lua5.3-socket' 'nginx caddy haproxy httpd luarocks'
  if command -v systemctl >/dev/null; then
    for p in $wanted; do $sudo systemctl disable -q "$p" 2>/dev/null || true; done
  fi
  have_proxies || { echo "Still missing: $(missing_proxies | tr '\n' ' '); the tests in e2e/proxies need all of them."; exit 1; }
  ;;
*)
  echo 'usage: parts.sh postgres|browser|tools|proxies' >&2
  exit 2
  ;;
esac

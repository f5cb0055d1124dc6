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
have_proxies() { { command -v nginx || [ -x /usr/sbin/nginx ]; } && command -v caddy; } >/dev/null
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
  # Only the binaries are wanted: where no init runs, the packages start nothing.
  have_proxies || install 'nginx or Caddy' 'nginx caddy' 'nginx caddy' 'nginx caddy' 'nginx caddy'
  have_proxies || { echo 'nginx or Caddy is still missing; the tests of what proxies send need both.'; exit 1; }
  ;;
*)
  echo 'usage: parts.sh postgres|browser|tools|proxies' >&2
  exit 2
  ;;
esac

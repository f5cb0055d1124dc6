#!/usr/bin/env bash
# Finds the Postgres server that development and tests run, and installs the
# system's own package where there is none.
set -euo pipefail

found() {
  [ -n "${GATEPOST_PG_BIN:-}" ] || command -v postgres >/dev/null ||
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || compgen -G '/usr/libexec/postgresql*/postgres' >/dev/null ||
    compgen -G '/usr/pgsql-*/bin/postgres' >/dev/null || compgen -G '/opt/homebrew/opt/postgresql@*/bin/postgres' >/dev/null
}
found && exit 0

sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
echo "No Postgres server on this machine: installing the system's package."
if command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  # Only the binaries are wanted, not a cluster on port 5432.
  $sudo mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
  $sudo apt-get -o DPkg::Lock::Timeout=300 update -q
  $sudo apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends postgresql
elif command -v dnf >/dev/null; then $sudo dnf install -y postgresql-server
elif command -v apk >/dev/null; then $sudo apk add postgresql
elif command -v brew >/dev/null; then brew install postgresql@17
fi
found || { echo "Postgres is still missing; install it, or name the folder of its binaries in GATEPOST_PG_BIN."; exit 1; }

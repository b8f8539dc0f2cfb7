#!/usr/bin/env bash
# Installs what is missing for `make demo` and `make test`, and starts the engine when none answers.
# Touches nothing that is already there; the second run takes about a second.
# Mirrors are the machine's own (apt, pip and npm configuration); BASE_IMAGE=... uses a registry's image.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
quietly() { # command...: its output only when it fails, or with V=1
  if [ -n "${V:-}" ]; then "$@" >&2; return; fi
  local log; log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then tail -n 20 "$log" >&2; rm -f "$log"; die "failed: $*"; fi
  rm -f "$log"
}
has() { command -v "$1" >/dev/null 2>&1; }

apt_install() { # package...: with one `apt-get update` before the first
  has apt-get || die "needs $*: install them with this system's package manager, then run again"
  [ "$(id -u)" = 0 ] || die "needs $*: run as root, or install them, then run again"
  say "installing $*"
  if [ -z "${APT_UPDATED:-}" ]; then quietly apt-get update -q; APT_UPDATED=1; fi
  DEBIAN_FRONTEND=noninteractive quietly apt-get install -y -q --no-install-recommends "$@"
}

engine_answers() { timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

start_engine() {
  has dockerd || apt_install docker.io iptables nftables iproute2
  [ "$(id -u)" = 0 ] || die "no Docker engine answers: start one, or run as root so that set-up can"
  local pid_file=/var/run/docker.pid
  # A pid file outlives a machine that was switched off, and the pid may be somebody else's by now.
  if [ -f $pid_file ] && ! grep -qs dockerd "/proc/$(cat $pid_file)/comm"; then rm -f $pid_file; fi
  say "starting dockerd (log: build/dockerd.log)"
  mkdir -p build
  setsid -f dockerd >build/dockerd.log 2>&1 </dev/null
  for _ in $(seq 120); do engine_answers && return; sleep 0.5; done
  tail -n 20 build/dockerd.log >&2
  die "dockerd did not answer within 60 s: its log is above"
}

use_registry_image() { # a machine with an engine of its own and a registry needs no mmdebstrap
  [ -z "${BASE_IMAGE:-}" ] || return 0
  has mmdebstrap && return 1
  [ "$had_engine" = yes ] && timeout 60 docker pull -q debian:trixie-slim >/dev/null 2>&1
}

install_cli_plugins() { # Compose v2 and buildx from Debian trixie, unpacked beside the system's packages
  docker compose version >/dev/null 2>&1 && return
  has apt-get || die "needs the Docker Compose v2 plugin (docker compose version): install it, then run again"
  say "installing the Compose v2 plugin"
  local debs=build/plugins target="${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins"
  rm -rf $debs && mkdir -p $debs "$target"
  quietly python3 scripts/trixie.py download $debs docker-compose docker-buildx
  for deb in $debs/*.deb; do dpkg-deb -x "$deb" $debs/root; done
  find $debs/root -path '*cli-plugins/docker-*' -type f -exec install -m 755 {} "$target/" \;
  rm -rf $debs
  docker compose version >/dev/null 2>&1 || die "the Compose plugin in $target does not run"
}

find_python() { # the newest interpreter >= 3.12 that runs; pyenv's shims may not
  local candidate
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3 python3.14 python3.13 python3.12 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then found=$candidate; fi
  done
  printf '%s' "${found:-}"
}

install_uv() {
  if has uv; then UV=uv; return; fi
  UV=build/uv/bin/uv
  [ -x $UV ] && return
  has python3 || apt_install python3 python3-venv
  say "installing uv"
  python3 -m venv build/uv >/dev/null 2>&1 || { rm -rf build/uv; apt_install python3-venv; python3 -m venv build/uv; }
  quietly build/uv/bin/python -m pip install -q uv
}

sync_venv() {
  local want; want=$(cat requirements/dev.txt pyproject.toml | sha256sum)
  [ -x .venv/bin/orch ] && [ "$(cat .venv/stamp 2>/dev/null)" = "$want" ] && return
  install_uv
  local python; python=$(find_python)
  say "making .venv"
  if [ -n "$python" ]; then export UV_PYTHON_DOWNLOADS=never; else python='>=3.12'; fi
  quietly "$UV" venv -q --clear --python "$python" .venv
  quietly "$UV" pip sync -q --require-hashes --python .venv/bin/python requirements/dev.txt
  quietly "$UV" pip install -q --python .venv/bin/python --no-build-isolation --no-deps -e .
  printf '%s\n' "$want" >.venv/stamp
}

export HOME="${HOME:-/root}"
mkdir -p build
had_engine=no; engine_answers && had_engine=yes
[ $had_engine = yes ] || start_engine
if use_registry_image; then :; else
  missing=()
  for tool in mmdebstrap; do has $tool || missing+=("$tool"); done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
fi
install_cli_plugins
sync_venv

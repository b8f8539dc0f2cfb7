#!/usr/bin/env bash
# Installs what is missing for `make demo` and `make test`, and starts the engine when none answers.
# Touches nothing that is already there; the second run takes about a second. V=1 shows every step.
# Mirrors are the machine's own (apt, pip and npm configuration).
#
# BASE_IMAGE=debian:trixie-slim takes the images' base from a registry instead of Debian's archive. It is
# tried by itself where an engine was here before us and mmdebstrap was not: then apt is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
quietly() { # command...: its output only when it fails, or with V=1
  if [ -n "${V:-}" ]; then "$@" >&2 </dev/null || die "failed: $*"; return; fi
  local log; log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then tail -n 20 "$log" >&2; rm -f "$log"; die "failed: $*"; fi
  rm -f "$log"
}

apt_install() { # package...: with one `apt-get update` before the first
  has apt-get || die "$* missing: install it with this system's package manager, then run again"
  [ "$(id -u)" = 0 ] || die "$* missing: run as root, or have it installed, then run again"
  say "installing $*"
  if [ -z "${apt_updated:-}" ]; then quietly apt-get update -q; apt_updated=1; fi
  DEBIAN_FRONTEND=noninteractive quietly apt-get install -y -q --no-install-recommends "$@"
}

engine_answers() { timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

why_no_engine() { # says what only the operator can put right
  [ -z "${DOCKER_HOST:-}" ] || die "the engine at DOCKER_HOST does not answer: start it, or unset DOCKER_HOST"
  local answer; answer=$(timeout 20 docker version 2>&1 || true)
  case $answer in *'ermission denied'*)
    die "user $(id -un) may not use the Docker engine: run as root, or 'usermod -aG docker $(id -un)' and log in again" ;;
  esac
  [ "$(id -u)" = 0 ] || die "no Docker engine answers: start it, or run as root so that set-up can"
}

start_engine() {
  why_no_engine
  has dockerd || apt_install docker.io iptables nftables iproute2
  has docker || apt_install docker-cli # a package of its own from Debian 13 on
  if engine_answers; then return; fi # only the client was missing, or systemd has started it
  local pid_file=/var/run/docker.pid
  # A pid file outlives a machine that was switched off, and its pid may be somebody else's by now.
  if [ -f $pid_file ] && ! grep -qs dockerd "/proc/$(cat $pid_file)/comm"; then rm -f $pid_file; fi
  say "starting dockerd (log: build/dockerd.log)"
  setsid -f dockerd >build/dockerd.log 2>&1 </dev/null
  for _ in $(seq 120); do if engine_answers; then return; fi; sleep 0.5; done
  tail -n 20 build/dockerd.log >&2
  die "dockerd did not answer within 60 s: the end of its log is above"
}

choose_base() { # leaves the choice in build/base-image for images/build.py; empty: Debian's archive
  if [ -n "${BASE_IMAGE:-}" ]; then return; fi
  if [ -s build/base-image ] && docker image inspect "$(cat build/base-image)" >/dev/null 2>&1; then return; fi
  rm -f build/base-image
  if [ "$1" = was_here ] && ! has mmdebstrap \
    && timeout 120 docker pull -q debian:trixie-slim >/dev/null 2>&1 </dev/null; then
    echo debian:trixie-slim >build/base-image
    return
  fi
  local pair missing=()
  for pair in mmdebstrap:mmdebstrap nft:nftables ip:iproute2; do
    PATH=$PATH:/usr/sbin:/sbin has "${pair%%:*}" || missing+=("${pair##*:}")
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

install_cli_plugins() { # Compose v2 and buildx from Debian trixie, unpacked beside the system's packages
  if docker compose version >/dev/null 2>&1; then return; fi
  has apt-get || die "the Docker Compose v2 plugin is missing (docker compose version): install it, then run again"
  say "installing the Compose v2 plugin"
  local work=build/plugins target="${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins" deb
  rm -rf $work
  mkdir -p $work "$target"
  quietly python3 scripts/trixie.py download $work docker-compose docker-buildx
  for deb in $work/*.deb; do dpkg-deb -x "$deb" $work/root; done
  find $work/root -path '*cli-plugins/docker-*' -type f -exec install -m 755 {} "$target/" \;
  rm -rf $work
  docker compose version >/dev/null 2>&1 || die "the Compose plugin in $target does not run"
}

add_gvisor() { # for `--isolation runsc`; an engine that was not started by set-up is its operator's alone
  local path; path=$(docker info --format '{{range $name, $r := .Runtimes}}{{if eq $name "runsc"}}{{$r.Path}}{{end}}{{end}}')
  if [ -n "$path" ] && has "$path"; then return; fi
  [ "$(id -u)" = 0 ] && python3 scripts/runsc.py is-ours || return 0
  if ! has runsc && ! fetch_runsc; then say "no runsc for this machine: agents run under runc only"; return; fi
  say "adding gVisor's runsc to the engine"
  quietly python3 scripts/runsc.py register "$(command -v runsc)"
}

fetch_runsc() { # Debian trixie's, one static program
  local work=build/runsc log=build/runsc.log
  rm -rf $work
  mkdir -p $work
  if ! { python3 scripts/trixie.py download $work runsc && dpkg-deb -x $work/*.deb $work/root; } >$log 2>&1; then
    return 1
  fi
  install -m 755 $work/root/usr/bin/runsc /usr/local/bin/runsc
  rm -rf $work
}

add_postgresql() { # for tests/vault, which start a server of their own; nothing runs here and no cluster is made
  if has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then return; fi
  # Where apt is to be left alone (choose_base), those tests are skipped, or fail in CI, and say why.
  if [ -n "${BASE_IMAGE:-}" ] || [ -s build/base-image ] || [ "$(id -u)" != 0 ] || ! has apt-get; then return; fi
  apt_install postgresql-common
  sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  apt_install postgresql
}

find_python() { # the first interpreter >= 3.12 that runs; pyenv's shims may not
  local candidate
  for candidate in python3.13 python3.14 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
}

sync_venv() {
  local want python
  want=$({ pwd; cat requirements/dev.txt pyproject.toml; } | sha256sum)
  if [ -x .venv/bin/python ] && [ "$(cat .venv/stamp 2>/dev/null)" = "$want" ]; then return; fi
  if ! uv --version >/dev/null 2>&1 && ! python3 -c 'import ensurepip' 2>/dev/null; then apt_install python3-venv; fi
  python=$(find_python)
  if [ -n "$python" ]; then export UV_PYTHON_DOWNLOADS=never; else python='>=3.12'; fi
  say "making .venv"
  quietly bash scripts/uv.sh venv -q --clear --python "$python" .venv
  # The hashes decide what is taken, so uv's cache is as good as the index.
  local sync=(bash scripts/uv.sh pip sync -q --require-hashes --python .venv/bin/python requirements/dev.txt)
  "${sync[@]}" --offline >/dev/null 2>&1 </dev/null || quietly "${sync[@]}"
  quietly bash scripts/uv.sh pip install -q --python .venv/bin/python --no-build-isolation --no-deps -e .
  printf '%s\n' "$want" >.venv/stamp
}

export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
mkdir -p build
engine=was_here
engine_answers || { engine=started; start_engine; }
has python3 || apt_install python3 python3-venv ca-certificates
choose_base $engine
install_cli_plugins
add_gvisor
add_postgresql
sync_venv

#!/usr/bin/env bash
# uv with this machine's own pip settings (index, certificate), which uv itself does not read.
# `uv.sh ARGUMENTS...`; installs uv from the Python package index into build/uv where there is none.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
own=$root/build/uv/bin

pip_setting() { # name: the value that `pip config` names last, which is the one in force
  python3 -m pip config list 2>/dev/null | sed -n "s/^[a-z:]*\.$1='\(.*\)'\$/\1/p" | tail -n 1
}

if [ -z "${SSL_CERT_FILE:-}" ]; then
  if [ -n "${EXTRA_CA_BUNDLE:-}" ]; then
    mkdir -p "$root/build"
    cat /etc/ssl/certs/ca-certificates.crt "$EXTRA_CA_BUNDLE" >"$root/build/trust.pem"
    export SSL_CERT_FILE=$root/build/trust.pem PIP_CERT=$root/build/trust.pem
  else
    cert=$(pip_setting cert || true)
    [ -z "$cert" ] || export SSL_CERT_FILE=$cert
  fi
fi
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
  index=$(pip_setting index-url || true)
  [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
fi

# A pyenv shim is on PATH also where the chosen Python has no uv: ask it.
if uv --version >/dev/null 2>&1; then exec uv "$@"; fi
if [ ! -x "$own/uv" ]; then
  echo 'setup: installing uv' >&2
  rm -rf "$root/build/uv"
  python3 -m venv "$root/build/uv"
  "$own/python" -m pip install -q --disable-pip-version-check uv
fi
exec "$own/uv" "$@"

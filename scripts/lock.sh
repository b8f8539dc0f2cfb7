#!/usr/bin/env bash
# Writes the hash-pinned requirement files anew: after a change to pyproject.toml or *.in.
# `lock.sh --upgrade` takes the newest releases that pyproject.toml allows; without it pins stay.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() {
  bash scripts/uv.sh pip compile -q --python-version 3.12 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links "$@"
}
lock pyproject.toml --group proxy --group dev -o requirements/dev.txt "$@"
# The images take the very versions that were tested.
lock pyproject.toml -c requirements/dev.txt -o requirements/daemon.txt "$@"
lock --group proxy -c requirements/dev.txt -o requirements/proxy.txt "$@"
lock requirements/agent-python.in -o requirements/agent-python.txt "$@"
lock requirements/agent-polyglot.in -o requirements/agent-polyglot.txt "$@"

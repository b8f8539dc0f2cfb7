#!/usr/bin/env bash
# Puts the npm SDKs that the integration tests run into build/node-sdks, by this machine's own npm
# configuration, or by the agent image's npm where this machine has none. The lock file's hashes decide.
set -euo pipefail
cd "$(dirname "$0")/.."
from=tests/integration/node_sdks to=build/node-sdks
want=$(cat $from/package.json $from/package-lock.json | sha256sum)
[ "$(cat $to/stamp 2>/dev/null)" != "$want" ] || exit 0
echo 'setup: fetching the npm SDKs for the tests' >&2
rm -rf $to
mkdir -p $to
cp $from/package.json $from/package-lock.json $to/
ci=(npm ci --ignore-scripts --no-audit --no-fund --loglevel error)
if command -v npm >/dev/null; then
  (cd $to && timeout 300 "${ci[@]}" >/dev/null)
else
  image=${ORCHBOX_IMAGE_PREFIX:-orchbox/}agent-node:${ORCHBOX_IMAGE_TAG:-local}
  timeout 300 docker run --rm --network host --user "$(id -u):$(id -g)" --env HOME=/tmp \
    --volume "$PWD/$to:/work" --workdir /work --entrypoint "${ci[0]}" "$image" "${ci[@]:1}" >/dev/null
fi
printf '%s\n' "$want" >$to/stamp

#!/usr/bin/env bash
# Every test, and nothing of them left on the engine, in two lanes for two cores: tests of sandboxes, the
# canaries and the probe one after the other, and beside them those that may run at the same time. The output
# of the second lane comes after that of the first. `build/test-beside.log` has it meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
quick=(tests/unit tests/wire tests/llm tests/vault) engine=(tests/contract tests/integration tests/probe)
for folder in tests/*/test_*.py tests/*/*/test_*.py tests/*/*/*/test_*.py; do # a new tier must not be forgotten
  case " ${quick[*]} ${engine[*]} " in
    *" $(cut -d/ -f1,2 <<<"$folder") "*) ;;
    *) echo "test.sh: $folder belongs to no tier that is run" >&2; exit 1 ;;
  esac
done

shared() { "$python" -m pytest tests/integration tests/probe -m 'not own_engine'; }

beside() { # the first use the shared engine, and must be over before `orch probe` looks at all there is on it
  local status=0 core=(tests/unit/proxy/policy tests/unit/proxy/destination)
  "$python" -m pytest tests/contract || status=$?
  "$python" -m pytest tests/integration -m own_engine || status=$?
  # Coverage makes every test slower, so it is taken where the policy core is tested and nowhere else.
  "$python" -m pytest "${core[@]}" --cov --cov-report=term:skip-covered || status=$?
  "$python" -m pytest "${quick[@]}" "${core[@]/#/--ignore=}" || status=$?
  return $status
}

inventory() { # every container, network and volume on the engine
  docker ps -a --format 'container {{.Names}}'
  docker network ls --format 'network {{.Name}}'
  docker volume ls --format 'volume {{.Name}}'
}

mkdir -p build
inventory | sort >build/engine-before.txt
set -m # a group of its own for the lane, so that an interruption here ends all of it
beside >build/test-beside.log 2>&1 </dev/null &
pid=$!
set +m
trap 'kill -- -$pid 2>/dev/null || true' EXIT
status=0
shared || status=$?
wait $pid || status=$?
trap - EXIT
cat build/test-beside.log

inventory | sort >build/engine-after.txt
left=$(comm -13 build/engine-before.txt build/engine-after.txt)
if [ -n "$left" ]; then
  printf 'test.sh: left on the engine:\n%s\n' "$left"
  # On a developer's machine others use the engine meanwhile; in CI nobody does.
  [ -z "${CI:-}" ] || status=$((status ? status : 1))
fi
exit $status

#!/usr/bin/env bash
# Every test, and nothing of them left on the engine, in four lanes, since tests of sandboxes mostly wait:
# those that share the machine's engine one after the other, beside them the probe on a host of its own, those
# that start such a host themselves, and all that need no engine. What the other lanes print comes after the
# first lane's output; `build/test-LANE.log` has it meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
without_engine=(tests/unit tests/wire tests/llm tests/vault) engine=(tests/contract tests/integration tests/probe)
for folder in tests/*/test_*.py tests/*/*/test_*.py tests/*/*/*/test_*.py; do # a new tier must not be forgotten
  case " ${without_engine[*]} ${engine[*]} " in
    *" $(cut -d/ -f1,2 <<<"$folder") "*) ;;
    *) echo "test.sh: $folder belongs to no tier that is run" >&2; exit 1 ;;
  esac
done

shared() { "$python" -m pytest tests/integration tests/probe/test_trust_kit.py -m 'not own_engine'; }

probe() { # on a host of its own, since canaries, firewall and inventory are a whole host's
  local images=() files=() last=tests/probe/test_neighbours.py # it measures delays, so when fewer run beside it
  for name in daemon proxy agent-python; do images+=(--image "orchbox/$name:local"); done
  for file in tests/probe/test_*.py; do
    case $file in "$last" | */test_trust_kit.py) ;; *) files+=("$file") ;; esac
  done
  "$python" -m tests.harness.on_private_host "${images[@]}" -- "$python" -m pytest "${files[@]}" "$last"
}

engines() { # the first use the shared engine, and must be over before `orch probe --trust` looks at all of it
  local status=0
  "$python" -m pytest tests/contract || status=$?
  "$python" -m pytest tests/integration -m own_engine || status=$?
  return $status
}

quick() {
  local status=0 core=(tests/unit/proxy/policy tests/unit/proxy/destination)
  # Coverage makes every test slower, so it is taken where the policy core is tested and nowhere else.
  "$python" -m pytest "${core[@]}" --cov --cov-report=term:skip-covered || status=$?
  "$python" -m pytest "${without_engine[@]}" "${core[@]/#/--ignore=}" || status=$?
  return $status
}

inventory() { # every container, network and volume on the engine
  docker ps -a --format 'container {{.Names}}'
  docker network ls --format 'network {{.Name}}'
  docker volume ls --format 'volume {{.Name}}'
}

mkdir -p build
inventory | sort >build/engine-before.txt
lanes=(probe engines quick) pids=()
set -m # a group of its own for each lane, so that an interruption here ends all of it
for lane in "${lanes[@]}"; do
  "$lane" >"build/test-$lane.log" 2>&1 </dev/null &
  pids+=($!)
done
set +m
trap 'kill -- "${pids[@]/#/-}" 2>/dev/null || true' EXIT
status=0
shared || status=$?
for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
trap - EXIT
for lane in "${lanes[@]}"; do
  echo "== tests of the lane '$lane'"
  cat "build/test-$lane.log"
done

inventory | sort >build/engine-after.txt
left=$(comm -13 build/engine-before.txt build/engine-after.txt)
if [ -n "$left" ]; then
  printf 'test.sh: left on the engine:\n%s\n' "$left"
  # On a developer's machine others use the engine meanwhile; in CI nobody does.
  [ -z "${CI:-}" ] || status=$((status ? status : 1))
fi
exit $status

#!/usr/bin/env bash
# Every test. Those that need no engine run beside those that mostly wait for one; their output comes after.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python quick=(tests/unit tests/wire tests/llm tests/vault) engine=(tests/contract tests/integration tests/probe)
for folder in tests/*/test_*.py tests/*/*/test_*.py tests/*/*/*/test_*.py; do # a new tier must not be forgotten
  case " ${quick[*]} ${engine[*]} " in
    *" $(cut -d/ -f1,2 <<<"$folder") "*) ;;
    *) echo "test.sh: $folder belongs to no tier that is run" >&2; exit 1 ;;
  esac
done
mkdir -p build
"$python" -m pytest "${quick[@]}" --cov --cov-report=term:skip-covered >build/test-quick.log 2>&1 </dev/null &
pid=$!
trap 'kill $pid 2>/dev/null || true' EXIT
status=0
"$python" -m pytest "${engine[@]}" || status=$?
wait $pid || status=$?
trap - EXIT
cat build/test-quick.log
exit $status

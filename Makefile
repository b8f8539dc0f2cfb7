# Every target works from a fresh clone on a bare machine; V=1 shows what set-up does.

PY := .venv/bin/python
# Bytecode is kept, and out of the source tree: without it each `orch` of the tests compiles all it imports.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
unexport PYTHONDONTWRITEBYTECODE
.NOTPARALLEL:
.PHONY: setup images trust-image node-sdks demo test test-unit fuzz soak lint picture clean

setup:
	@bash scripts/setup.sh

images: setup
	@$(PY) images/build.py

# The clients of `orch probe --trust` and of its tests; big, and nothing else needs it.
trust-image: setup
	@$(PY) images/build.py agent-polyglot

demo: images
	@$(PY) scripts/demo.py

# Lint comes first: it takes seconds, and the images of a fresh machine take minutes.
test: lint images trust-image node-sdks
	@bash scripts/test.sh

# The npm packages that the integration tests run in a sandbox.
node-sdks: images
	@bash scripts/node_sdks.sh

test-unit: setup
	@$(PY) -m pytest tests/unit tests/wire tests/llm

# Endurance (docs/endurance.md): FUZZ_SECONDS and FUZZ_SEED; SOAK_SECONDS. The tests hold both for a minute.
fuzz: setup
	@$(PY) -m tests.harness.fuzz

soak: images
	@SOAK_SECONDS=$${SOAK_SECONDS:-1800} $(PY) -m pytest -q -s tests/integration/test_soak.py

lint: setup
	@.venv/bin/ruff check -q .
	@.venv/bin/ruff format -q --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

# docs/overview.svg, from docs/overview.toml.
picture: setup
	@$(PY) scripts/draw.py

clean:
	rm -rf build .venv .run

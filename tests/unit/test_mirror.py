"""A module is tested at the path that mirrors its own, or a row here names what tests it.

`runtime/keys/settle.py` is tested by `tests/unit/runtime/keys/test_settle.py`. What a unit test would only
repeat (layers of mitmproxy, SQL, the program inside a sandbox) is tested in another tier, by the file that
its row names.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ELSEWHERE = {
    # -- proxy: mitmproxy's side is shown on the wire, by the real proxy on loopback ------------------
    "proxy/control/audit.py": "wire/test_audit.py",
    "proxy/control/llm_relay.py": "wire/test_llm_door.py",
    "proxy/destination/sink.py": "wire/test_names.py",
    "proxy/layers/http1.py": "wire/test_protocol_corpus.py",
    "proxy/layers/http2.py": "wire/test_http2.py",
    "proxy/layers/meter.py": "wire/test_limits.py",
    "proxy/layers/names.py": "wire/test_names.py",
    "proxy/layers/refuse.py": "wire/test_refusals.py",
    "proxy/layers/routes.py": "wire/test_tls_corpus.py",
    "proxy/layers/tls.py": "wire/test_tls_corpus.py",
    "proxy/secrets/outgoing.py": "wire/test_tripwire.py",
    "proxy/policy/refusal.py": "wire/test_refusals.py",
    "proxy/secrets/body_codings.py": "unit/proxy/secrets/test_body_scan.py",
    "proxy/server.py": "wire/test_allowed.py",
    "proxy/warm.py": "unit/runtime/keeper/test_warm.py",
    "proxy/worker.py": "unit/proxy/test_parent.py",
    # -- runtime: values and seams, whose behaviour is that of the modules that use them ---------------
    "runtime/agents/folder.py": "unit/runtime/cli/run/test_command.py",
    "runtime/audit/port.py": "unit/runtime/daemon/test_daemon.py",
    "runtime/containers/labels.py": "unit/runtime/containers/test_sweep.py",
    "runtime/egress/port.py": "unit/runtime/egress/test_link.py",
    "runtime/keeper/parent.py": "unit/runtime/keeper/test_nursery.py",
    "runtime/keeper/process.py": "unit/runtime/keeper/test_nursery.py",
    "runtime/keeper/work.py": "unit/runtime/runs/test_driver.py",
    "runtime/runs/heirloom.py": "unit/runtime/runs/test_adoption.py",
    "runtime/sandbox/head.py": "unit/runtime/sandbox/test_conversation.py",
    "runtime/sandbox/plan.py": "unit/runtime/sandbox/test_maker.py",
    "runtime/model/limits.py": "unit/runtime/containers/test_sandbox.py",
    "runtime/model/needs.py": "unit/runtime/keys/test_settle.py",
    "runtime/api/prune.py": "unit/runtime/cli/commands/test_prune.py",
    "runtime/model/retention.py": "unit/runtime/runs/test_retention.py",
    "runtime/model/run.py": "unit/runtime/runs/test_store.py",
    "runtime/sandbox/sandbox.py": "unit/runtime/sandbox/test_maker.py",
    "runtime/runs/ports.py": "unit/runtime/runs/test_service.py",
    "runtime/runs/tables.py": "unit/runtime/runs/test_store.py",
    "runtime/version.py": "unit/test_repository.py",
    "runtime/daemon/parts.py": "unit/runtime/daemon/test_metrics.py",
    "runtime/api/counts.py": "unit/runtime/api/test_metrics.py",
    "runtime/access/rows.py": "unit/runtime/access/test_service.py",
    "runtime/access/tables.py": "unit/runtime/access/test_service.py",
    "runtime/database/migrations/versions/r0005_tokens.py": "unit/runtime/database/test_migrations.py",
    "runtime/database/migrations/versions/r0006_labels.py": "unit/runtime/database/test_migrations.py",
    "runtime/database/migrations/versions/r0007_lists.py": "vault/test_lists.py",
    "runtime/runs/listing.py": "vault/test_lists.py",
    "runtime/api/seen.py": "unit/runtime/api/test_runs.py",
    "runtime/api/run_create.py": "unit/runtime/api/test_app.py",
    "runtime/api/idempotency.py": "vault/test_idempotency.py",
    "runtime/idempotency/service.py": "vault/test_idempotency.py",
    "runtime/idempotency/tables.py": "vault/test_idempotency.py",
    "runtime/database/migrations/versions/r0008_idempotency.py": "unit/runtime/database/test_migrations.py",
    "runtime/api/token_body.py": "unit/runtime/cli/commands/test_token.py",
    "runtime/api/tokens.py": "unit/runtime/api/test_gate.py",
    # -- the API's bodies, through its routes -----------------------------------------------------------
    "runtime/api/multipart.py": "unit/runtime/api/test_app.py",
    "runtime/api/needs_body.py": "unit/runtime/api/test_run_body.py",
    "runtime/api/run_json.py": "unit/runtime/api/test_run_body.py",
    "runtime/api/problems.py": "unit/runtime/api/test_app.py",
    "runtime/api/secret_body.py": "unit/runtime/api/test_secrets.py",
    # -- the command, through its commands --------------------------------------------------------------
    "runtime/cli/commands/workspaces.py": "unit/runtime/cli/commands/test_secrets.py",
    "runtime/cli/console/context.py": "unit/runtime/cli/commands/test_runs.py",
    "runtime/cli/console/notes.py": "unit/runtime/cli/commands/test_runs.py",
    "runtime/cli/console/quiet.py": "unit/runtime/cli/run/test_local_sandbox.py",
    "runtime/cli/run/input.py": "unit/runtime/cli/run/test_command.py",
    "runtime/client/secrets.py": "unit/runtime/cli/commands/test_secrets.py",
    "runtime/install/installed.py": "unit/runtime/install/test_exports.py",
    "runtime/policies/describe.py": "unit/runtime/cli/commands/test_policy.py",
    "runtime/policies/places.py": "unit/runtime/policies/test_loader.py",
    "runtime/cli/console/explanation.py": "unit/runtime/cli/commands/test_policy.py",
    "runtime/explain/judge.py": "wire/test_explain.py",
    "runtime/explain/sandbox.py": "unit/runtime/explain/test_document.py",
    "runtime/explain/fields.py": "unit/runtime/explain/test_asked.py",
    "runtime/policies/catalogue.py": "unit/runtime/cli/commands/test_policy.py",
    # -- the database, on SQLite and a real PostgreSQL ----------------------------------------------------
    "runtime/database/migrations/env.py": "unit/runtime/database/test_connection.py",
    "runtime/database/migrations/versions/r0001_runs.py": "unit/runtime/database/test_connection.py",
    "runtime/database/migrations/versions/r0002_vault.py": "unit/runtime/database/test_connection.py",
    "runtime/database/migrations/versions/r0003_owner.py": "unit/runtime/database/test_migrations.py",
    "runtime/database/migrations/versions/r0004_outputs.py": "unit/runtime/database/test_migrations.py",
    "runtime/vault/key.py": "vault/test_vault.py",
    "runtime/vault/keyring.py": "vault/test_vault.py",
    "runtime/vault/kms.py": "vault/test_kms.py",
    "runtime/vault/rotation.py": "vault/test_change.py",
    "runtime/vault/rows.py": "vault/test_vault.py",
    "runtime/vault/service.py": "vault/test_vault.py",
    "runtime/vault/tables.py": "vault/test_store.py",
    # -- the engine: one suite on the fake and on a real one ----------------------------------------------
    "runtime/engine/fake.py": "contract/test_engine_contract.py",
    "runtime/engine/fake_programs.py": "contract/test_engine_contract.py",
    "runtime/engine/protocol.py": "contract/test_engine_contract.py",
    # -- the LLM router, over real SDKs ---------------------------------------------------------------------
    "runtime/llm/call.py": "llm/test_llm_fallback.py",
    "runtime/llm/router.py": "llm/test_llm_fallback.py",
    "runtime/llm/serve.py": "llm/test_llm_serve.py",
    "runtime/llm/session.py": "llm/test_llm_secrets.py",
    "runtime/llm/shapes/bridge_stream.py": "llm/test_llm_shapes.py",
    "runtime/llm/shapes/errors.py": "llm/test_llm_shapes.py",
    "runtime/llm/sse.py": "llm/test_llm_shapes.py",
    "runtime/llm/until_gone.py": "llm/test_llm_serve.py",
    "runtime/llm/upstream/timeouts.py": "llm/test_llm_fallback.py",
    # -- the canary and the probe, by being used against a real sandbox ------------------------------------
    "runtime/canary/certificates.py": "integration/test_upstreams.py",
    "runtime/canary/client.py": "integration/test_canary_net.py",
    "runtime/canary/command.py": "integration/test_canary_net.py",
    "runtime/canary/control.py": "integration/test_canary_net.py",
    "runtime/canary/net/host_listener.py": "integration/test_canary_net.py",
    "runtime/canary/net/session.py": "integration/test_canary_net.py",
    "runtime/canary/net/uplink.py": "integration/test_canary_net.py",
    "runtime/canary/net/world.py": "integration/test_canary_net.py",
    "runtime/canary/server.py": "integration/test_canary_net.py",
    "runtime/canary/upstreams/anthropic_api.py": "unit/runtime/canary/upstreams/test_application.py",
    "runtime/canary/upstreams/apt_repository.py": "integration/test_upstreams.py",
    "runtime/canary/upstreams/cargo_registry.py": "integration/test_upstreams.py",
    "runtime/canary/upstreams/gemini_api.py": "unit/runtime/canary/upstreams/test_application.py",
    "runtime/canary/upstreams/git_repo.py": "integration/test_upstreams.py",
    "runtime/canary/upstreams/openai_api.py": "unit/runtime/canary/upstreams/test_application.py",
    "runtime/canary/upstreams/packages.py": "integration/test_upstreams.py",
    "runtime/canary/upstreams/plain_api.py": "unit/runtime/canary/upstreams/test_application.py",
    "runtime/canary/upstreams/recorder.py": "unit/runtime/canary/upstreams/test_application.py",
    "runtime/canary/upstreams/sse.py": "unit/runtime/canary/upstreams/test_application.py",
    "runtime/canary/world.py": "integration/test_canary_net.py",
    "runtime/probe/canaries.py": "probe/test_probe.py",
    "runtime/probe/corpus/abuse.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/addresses.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/build.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/case.py": "unit/runtime/probe/test_judge.py",
    "runtime/probe/corpus/control.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/dns.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/kernel.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/keys.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/lateral.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/names.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/policy.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/protocols.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/corpus/secrets.py": "unit/runtime/probe/test_corpus.py",
    "runtime/probe/inside/abuse.py": "probe/test_probe.py",
    "runtime/probe/inside/actions.py": "probe/test_probe.py",
    "runtime/probe/inside/http2.py": "probe/test_probe.py",
    "runtime/probe/inside/main.py": "probe/test_probe.py",
    "runtime/probe/inside/packets.py": "probe/test_probe.py",
    "runtime/probe/inside/places.py": "probe/test_probe.py",
    "runtime/probe/inside/trail.py": "probe/test_probe.py",
    "runtime/probe/lab.py": "probe/test_probe.py",
    "runtime/probe/neighbours/agent/attacker.py": "probe/test_neighbours.py",
    "runtime/probe/neighbours/run.py": "probe/test_neighbours.py",
    "runtime/probe/result.py": "unit/runtime/probe/test_judge.py",
    "runtime/probe/trust/clients.py": "unit/runtime/probe/trust/test_table.py",
    "runtime/probe/trust/run.py": "integration/test_trust.py",
}
"""Module -> the test below `tests/` that covers it."""

OF_MANY = {
    "runtime/database/test_migrations.py": "what every revision does with a database of an older version",
    "runtime/daemon/test_hostile.py": "thousands of requests that no client sends, to the API on its port",
    "runtime/keeper/test_faults.py": "a keeper whose disk, log or memory fails",
    "runtime/keeper/test_handover.py": "a keeper whose daemon goes away before the run is handed over",
    "runtime/keeper/test_secrets.py": "secrets that a keeper enforces and hands down",
    "runtime/runs/test_service_rotation.py": "a secret that changes while a run has it: service, driver and live grant",
    "proxy/policy/test_properties.py": "the policy core as a whole, by generated inputs",
    "runtime/llm/test_imports.py": "what the router's import may load",
    "runtime/probe/test_corpus.py": "every file of the corpus",
}
"""Unit tests that mirror no one module, and what they are about."""


def modules() -> set[str]:
    """Every module of both packages, as a path from the repository's root."""
    found = [path for package in ("proxy", "runtime") for path in (ROOT / package).rglob("*.py")]
    return {str(path.relative_to(ROOT)) for path in found if not path.name.startswith("__")}


def mirror_of(module: str) -> str:
    """The unit test of a module, as a path from `tests/`."""
    path = Path(module)
    return str(Path("unit") / path.parent / f"test_{path.name}")


def holds_tests(path: Path) -> bool:
    """Whether the file is there, and holds a test."""
    return path.is_file() and "def test_" in path.read_text()


def untested(names: set[str], elsewhere: dict[str, str], *, tests: Path) -> list[str]:
    """The modules that have neither a mirror that tests them nor a row."""
    return sorted(n for n in names if n not in elsewhere and not holds_tests(tests / mirror_of(n)))


def test_every_module_has_its_test():
    """A new module comes with a unit test at its mirrored path, or with a row that names another."""
    assert untested(modules(), ELSEWHERE, tests=ROOT / "tests") == []


def test_rows_are_true():
    """A row names a module without a unit test of its own, and a test that exists."""
    stale = {name: test for name, test in ELSEWHERE.items() if name not in modules()}
    needless = [name for name in ELSEWHERE if (ROOT / "tests" / mirror_of(name)).is_file()]
    missing = [test for test in ELSEWHERE.values() if not (ROOT / "tests" / test).is_file()]

    assert (stale, needless, missing) == ({}, [], [])


def test_every_unit_test_mirrors_a_module():
    """A unit test of a module that was moved or removed is noticed."""
    unit = ROOT / "tests/unit"
    tests = [path for package in ("proxy", "runtime") for path in (unit / package).rglob("test_*.py")]
    mirrors = {str(Path(mirror_of(name)).relative_to("unit")) for name in modules()}

    astray = {str(path.relative_to(unit)) for path in tests} - mirrors - OF_MANY.keys()

    assert astray == set()
    assert [name for name in OF_MANY if not (unit / name).is_file()] == []


def test_a_module_without_a_test_is_noticed(tmp_path: Path):
    """The check can fail."""
    (tmp_path / "unit/proxy").mkdir(parents=True)
    (tmp_path / "unit/proxy/test_a.py").write_text("def test_x(): ...\n")
    (tmp_path / "unit/proxy/test_empty.py").touch()
    names = {f"proxy/{name}.py" for name in ("a", "absent", "elsewhere", "empty")}

    found = untested(names, {"proxy/elsewhere.py": "x"}, tests=tmp_path)

    assert found == ["proxy/absent.py", "proxy/empty.py"]

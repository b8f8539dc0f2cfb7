"""What the demo demands: of the summary, and of every place where an escape would have shown."""

from __future__ import annotations

import re
from typing import Any

from demo_daemon import DemoRun

from runtime.canary.seen import Exchange, Record
from runtime.canary.upstreams.application import OPENAI


def check_summary(
    run: DemoRun, text: str, *, record: Record | None, key: str, token_delay_s: float
) -> list[str]:
    """What is wrong with the summary; without a record (the real API) only its being there is judged."""
    result = run.result if isinstance(run.result, dict) else {}
    summary = str(result.get("summary", ""))
    if run.exit_code or not summary:
        return [f"the summarizer gave no summary (exit {run.exit_code}): {run.envelope}"]
    problems = []
    if not any(line.get("verdict") == "allow" and line.get("host") == OPENAI for line in run.decisions):
        problems.append(f"no decision allowed {OPENAI}")
    if record is None:
        return problems
    flat = re.sub(r"\s+", " ", text)
    if any(part not in flat for part in re.split(r"(?<=[.!?]) (?=[A-Z])", summary)):
        problems.append("the summary holds a sentence that the text does not")
    asked = record.requests_to(OPENAI)
    if len(asked) != 1 or asked[0].path != "/v1/chat/completions":
        return [*problems, f"the simulated API saw {len(asked)} requests, not the one chat completion"]
    return problems + _check_exchange(asked[0], result, key=key, token_delay_s=token_delay_s)


def _check_exchange(seen: Exchange, result: dict[str, Any], *, key: str, token_delay_s: float) -> list[str]:
    problems = []
    if seen.credentials != {"authorization": f"Bearer {key}"}:
        problems.append("the simulated API did not see just the key that the run was given")
    sending_s = (seen.last_byte_at or 0) - (seen.first_byte_at or 0)
    reading_s = (result.get("total_s") or 0) - (result.get("first_token_s") or 0)
    least_s = token_delay_s * (result.get("tokens") or 0) / 2
    if not least_s or sending_s < least_s or reading_s < least_s:
        problems.append(
            f"the tokens came in one piece: sent over {sending_s:.2f} s, read over {reading_s:.2f} s"
        )
    return problems


def check_intruder(
    run: DemoRun, *, record: Record, host_peers: list[str], sightings: list[str], marker: str
) -> list[str]:
    """Everything that got out, by the intruder's word or by anybody else's."""
    attempts = run.result if isinstance(run.result, list) else []
    if not attempts:
        return [f"the intruder did not run (exit {run.exit_code}): {run.envelope}"]
    problems = [f"{a['attempt']}: {a['detail']}" for a in attempts if a["got_out"]]
    problems += [f"a connection reached {a.address}:{a.port} from {a.peer}" for a in record.accepts]
    problems += [
        f"a {p.protocol} packet reached {p.address}:{p.port} from {p.source}" for p in record.packets
    ]
    problems += [f"a DNS question reached the outside: {q.type} {q.name}" for q in record.dns]
    problems += [f"a request reached {r.host}{r.path}" for r in record.requests]
    problems += [f"a connection reached the host from {peer}" for peer in host_peers]
    problems += [f"seen on {sighting}" for sighting in sightings]
    problems += [
        f"the proxy allowed {line.get('host')}:{line.get('port')}"
        for line in run.decisions
        if line.get("verdict") != "deny"
    ]
    refused = [line for line in run.decisions if marker in str(line.get("host"))]
    if not refused:
        problems.append("no decision names the host that was refused")
    return problems

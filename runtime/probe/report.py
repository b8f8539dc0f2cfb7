"""A report as JSON, JUnit XML and SARIF 2.1.0 (OASIS). Pure."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from xml.etree import ElementTree as ET

from runtime.probe.result import Report, Result, Verdict
from runtime.version import VERSION

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def to_json(report: Report) -> dict[str, Any]:
    """Everything, for machines; `contained` is the verdict on the whole."""
    return {
        "contained": report.is_contained,
        "policy": report.policy,
        "isolation": report.isolation,
        "engine": report.engine,
        "took_s": round(report.took_s, 1),
        "groups": report.by_group,
        "problems": list(report.problems),
        "cases": [_case(result) for result in report.results],
    }


def _case(result: Result) -> dict[str, Any]:
    case, inside, outside = result.case, result.inside, result.outside
    expected = dataclasses.asdict(case.expect)
    return {
        "id": case.id,
        "group": case.group,
        "title": case.title,
        "verdict": result.verdict.value,
        "why": result.why,
        "fix": case.fix if result.verdict is not Verdict.HELD else None,
        "expected": {
            "kind": type(case.expect).__name__.lower(),
            **{k: sorted(v) if isinstance(v, frozenset) else v for k, v in expected.items()},
        },
        "inside": dataclasses.asdict(inside),
        "outside": {
            "audit": [dict(line) for line in outside.lines],
            "upstream_requests": len(outside.requests),
            "sightings": list(outside.sightings),
        },
    }


def to_junit(report: Report) -> str:
    """One test case a row, one suite a group; an escape is a failure."""
    root = ET.Element("testsuites", name="orch probe", time=f"{report.took_s:.1f}")
    for group, counts in report.by_group.items():
        results = [result for result in report.results if result.case.group == group]
        bad = len(results) - counts[Verdict.HELD.value]
        suite = ET.SubElement(root, "testsuite", name=group, tests=str(len(results)), failures=str(bad))
        for result in results:
            name = f"{result.case.id} {result.case.title}"
            took = f"{result.inside.took_s:.3f}"
            test = ET.SubElement(suite, "testcase", classname=f"probe.{group}", name=name, time=took)
            if result.verdict is not Verdict.HELD:
                failure = ET.SubElement(
                    test, "failure", type=result.verdict.value, message=_plain(result.why)
                )
                failure.text = _plain(f"{result.inside.detail}\nlook at: {result.case.fix}")
    if report.problems:
        suite = ET.SubElement(root, "testsuite", name="problems", tests="1", failures="1")
        test = ET.SubElement(suite, "testcase", classname="probe", name="nothing else was seen")
        ET.SubElement(test, "failure", message=_plain("; ".join(report.problems)))
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def to_sarif(report: Report) -> str:
    """Only what did not hold; each rule is a case."""
    bad = [result for result in report.results if result.verdict is not Verdict.HELD]
    rules = [
        {
            "id": result.case.id,
            "shortDescription": {"text": result.case.title},
            "help": {"text": f"look at: {result.case.fix}"},
            "properties": {"tags": ["security", result.case.group]},
        }
        for result in bad
    ]
    found = [
        {
            "ruleId": result.case.id,
            "level": "error" if result.verdict is Verdict.ESCAPED else "warning",
            "message": {"text": f"{result.case.title}: {result.why}"},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"uri": f"policies/{report.policy}.yaml"}}},
            ],
        }
        for result in bad
    ]
    found += [{"ruleId": "problem", "level": "error", "message": {"text": text}} for text in report.problems]
    driver = {"name": "orch probe", "version": VERSION, "rules": rules}
    return json.dumps(
        {"$schema": _SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": found}]},
        indent=2,
    )


def _plain(text: str) -> str:
    """Without the control characters that XML 1.0 cannot hold."""
    return "".join(c if c in "\n\t" or 0x20 <= ord(c) < 0xD800 else f"\\x{ord(c):02x}" for c in text)

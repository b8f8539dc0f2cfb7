"""runtime.probe.report: the three forms, and what they say of an escape."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from runtime.probe.corpus import CASES
from runtime.probe.report import to_json, to_junit, to_sarif
from runtime.probe.result import Inside, Outside, Report, Result, Verdict

HELD = Result(CASES[0], Inside("answered", "fine", (200,), (None,)), Outside(), Verdict.HELD, "")
ESCAPED = Result(CASES[-1], Inside("possible", "\x00\x1b[31m"), Outside(), Verdict.ESCAPED, "it worked\x00")


def report(*results: Result, problems: tuple[str, ...] = ()) -> Report:
    """A small report."""
    return Report("llm-only", "runc", "Docker 20", results, 1.25, problems)


def test_nothing_attacked_is_not_contained():
    """A probe without a case proves nothing."""
    assert not report().is_contained


def test_contained_needs_every_case_and_no_problem():
    """One escape or one problem decides."""
    assert report(HELD).is_contained
    assert not report(HELD, ESCAPED).is_contained
    assert not report(HELD, problems=("left behind: x",)).is_contained


def test_json_has_counts_and_both_views():
    """A machine finds the verdict, the groups, and each case's two sides."""
    shown = to_json(report(HELD, ESCAPED))

    assert shown["contained"] is False
    assert shown["groups"][CASES[-1].group] == {"escaped": 1, "failed": 0, "held": 0}
    assert shown["cases"][1]["verdict"] == "escaped"
    assert shown["cases"][1]["fix"]
    assert shown["cases"][0]["fix"] is None
    json.dumps(shown)


def test_junit_is_xml_whatever_was_said():
    """Control characters of a hostile answer do not break the document."""
    root = ET.fromstring(to_junit(report(HELD, ESCAPED, problems=("left behind: x",))))

    assert len(root.findall(".//testcase")) == 3
    assert [f.get("type") for f in root.findall(".//failure")] == ["escaped", None]


def test_sarif_names_only_what_did_not_hold():
    """A result for each case that did not hold, and one for each problem."""
    run = json.loads(to_sarif(report(HELD, ESCAPED, problems=("x",))))["runs"][0]

    assert [found["ruleId"] for found in run["results"]] == [CASES[-1].id, "problem"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [CASES[-1].id]

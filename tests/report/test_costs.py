"""The ledger of costs as a table."""

from __future__ import annotations

from surefoot.report.costs import cost_lines


def cost(seconds, peak=10.0, rows=0, joules=None):
    return {
        "wall_s": seconds, "cpu_s": 2 * seconds, "rows": rows, "peak_mb": peak, "energy_j": joules
    }  # fmt: skip


def candidate(name, *steps):
    return {
        "name": name,
        "seed": 0,
        "steps": [[use, options] for use, options, _ in steps],
        "step_costs": [spent for *_, spent in steps],
    }


def cells(line, columns):
    """The words of a line that stand under the heads at these places."""
    ends = [*columns[1:], None]
    return [line[start:end].strip() for start, end in zip(columns, ends, strict=True)]


EXPORT = ("export_onnx", {}, cost(4.0, peak=300.0))


def rows_of(data):
    head, _, *lines = cost_lines({"candidates": data})
    heads = ["what making", "step", "seconds", "CPU s", "rows", "peak MB", "joules"]
    places = [head.index(word) for word in heads if word in head]
    return [cells(line, places) for line in lines]


def test_nothing_was_made():
    assert cost_lines({"candidates": [candidate("baseline")]}) == []


def test_a_bundle_without_costs_by_step_has_no_ledger():
    old = candidate("int8", EXPORT)
    del old["step_costs"]
    assert cost_lines({"candidates": [candidate("baseline"), old]}) == []


def test_each_step_has_a_line_and_a_shared_one_counts_once():
    dynamic = ("quantize_dynamic", {}, cost(1.0, rows=1500))
    data = [candidate("baseline"), candidate("fp32", EXPORT), candidate("int8", EXPORT, dynamic)]
    assert rows_of(data) == [
        ["fp32", "export_onnx", "4.0", "8.0", "", "300"],
        ["int8", "", "5.0", "10.0", "1,500", "300"],
        ["", "export_onnx", "4.0", "8.0", "", "300"],
        ["", "quantize_dynamic", "1.0", "2.0", "1,500", "10"],
        ["all, each step once", "", "5.0", "10.0", "1,500", "300"],
    ]


def test_one_step_after_another_is_another_step():
    refit = ("refit_head", {"l2": 1}, cost(2.0))
    data = [candidate("a", EXPORT, refit), candidate("b", refit)]
    assert rows_of(data)[-1][2] == "8.0"


def test_energy_is_told_where_every_step_has_it():
    known = ("export_onnx", {}, cost(4.0, joules=80.0))
    both = [known, ("refit_head", {}, cost(1.0, joules=20.0))]
    assert rows_of([candidate("a", *both)])[0][-1] == "100"
    half = [known, ("refit_head", {}, cost(1.0))]
    assert [row[-1] for row in rows_of([candidate("a", *half)])] == ["", "80", ""]

"""The table of behaviour checks, from what a bundle says of them."""

from surefoot.report.checks import check_lines


def entry(candidate, check="batch_invariance", **fields):
    rate = {"value": 0.012, "low": 0.006, "high": 0.021, "method": "Clopper-Pearson"}
    return {
        "candidate": candidate, "check": check, "error": "", "rate": rate, "asked": 1000,
        "failed": 12, "largest": 0.3142, "note": "", "slices": {},
        "ids": [f"main/{i}" for i in range(12)], **fields,
    }  # fmt: skip


def test_a_row_for_each_check_and_a_column_for_each_candidate_the_baseline_first():
    entries = [entry("baseline", failed=0, ids=[], largest=None), entry("lean")]
    entries += [entry("baseline", "golden", failed=0), entry("lean", "golden")]
    header, rule, first, second, *_ = check_lines(entries)
    assert header.split("  ")[0] == "rows that fail a check"
    assert header.split()[-2:] == ["baseline", "lean"]
    assert set(rule) == {"-", " "}
    assert "0 of 1,000: 1.2 % [0.6, 2.1]  " in first
    assert first.endswith("12 of 1,000: 1.2 % [0.6, 2.1], by 0.31")
    assert second.startswith("golden")


def test_the_first_ids_that_failed_are_named():
    lines = check_lines([entry("lean")])
    assert lines[-1] == (
        "lean: batch_invariance: failed by main/0, main/1, main/2, main/3, main/4, …"
    )
    lines = check_lines([entry("lean", failed=1, ids=["main/7"])])
    assert lines[-1] == "lean: batch_invariance: failed by main/7"


def test_slices_and_notes_are_told():
    half = {"value": 0.5, "low": None, "high": 0.9, "method": "clustered score"}
    lines = check_lines([entry("lean", note="12 rows", slices={"short": half, "none": None})])
    assert "lean: batch_invariance: 12 rows" in lines
    assert lines[-1] == "lean: batch_invariance: by slice: short 50.0 % [none, 90.0]"


def test_what_was_not_run_says_why_and_a_list_has_no_interval():
    broken = {"candidate": "lean", "check": "edits", "error": "cannot", "rate": None}
    lines = check_lines([broken])
    assert lines[2].endswith("  not run")
    assert lines[-1] == "lean: edits could not be run: cannot"
    listed = {"value": 0.1, "low": 0.1, "high": 0.1, "method": "exact"}
    assert check_lines([entry("lean", rate=listed, largest=None)])[2].endswith("12 of 1,000")
    assert check_lines([entry("lean", rate=None, failed=0)])[2].endswith("no rows")


def test_no_checks_no_lines():
    assert check_lines([]) == []

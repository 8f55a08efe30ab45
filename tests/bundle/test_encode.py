import json
import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surefoot.bundle.encode import ROW_COLUMNS, decode_verdict, encode
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Budget, Finding, Paired, Use, Verdict

numbers = st.floats(allow_nan=False, allow_infinity=False)
paired = st.builds(
    Paired, candidate=st.text(), dataset=st.text(), slice=st.none() | st.text(), metric=st.text(),
    n=st.integers(1), lost=st.integers(0), won=st.integers(0), other=st.integers(0),
    baseline=numbers, value=numbers, higher_is_better=st.booleans(),
    difference=st.none(), values=st.none(), groups=st.none(), change=st.none(),
)  # fmt: skip
findings = st.builds(
    Finding,
    budget=st.builds(Budget, quantity=st.text(), max_drop=st.none() | numbers),
    subject=st.text(),
    estimate=st.builds(
        Estimate, value=numbers, low=numbers | st.just(-math.inf), high=numbers | st.just(math.inf),
        level=numbers, method=st.text(), n=st.integers(1),
    ),
    limit=numbers, outcome=st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE"]), p_pass=numbers,
    p_fail=numbers, needed=st.none() | st.integers(1), paired=st.none() | paired,
)  # fmt: skip
verdicts = st.builds(
    Verdict, candidate=st.text(), outcome=st.just("PASS"), share=st.integers(1),
    findings=st.lists(findings, max_size=3).map(tuple), tried=st.integers(1),
    use=st.none() | st.builds(Use, count=st.integers(1), share=numbers, left=numbers),
)  # fmt: skip


@given(verdicts)
def test_a_verdict_comes_back_from_json_as_it_was(verdict):
    text = json.dumps(encode(verdict), allow_nan=False)
    assert decode_verdict(json.loads(text)) == verdict


@given(paired)
def test_columns_of_rows_stay_in_the_cells(one):
    filled = replace(one, **{name: np.zeros(3) for name in ROW_COLUMNS})
    assert encode(filled) == encode(one)
    assert not set(ROW_COLUMNS) & set(encode(filled))


def test_numbers_that_json_lacks_become_null():
    assert encode({"a": (1.0, math.inf, -math.inf, math.nan)}) == {"a": [1.0, None, None, None]}


def test_what_is_plain_already_stays_as_it_is():
    """Lists in mappings in tuples, as options of a step may be; text that looks like a number."""
    plain = {"steps": [["prune", {"keep": [1, 2.5], "head": None, "per_channel": True}]], "n": "1"}
    assert encode(plain) == plain
    assert encode(({"low": -math.inf},)) == [{"low": None}]


def test_an_end_that_is_null_is_infinite_on_its_own_side():
    estimate = Estimate(value=1.0, low=-math.inf, high=math.inf, level=0.9, method="t", n=1)
    finding = Finding(
        budget=Budget(quantity="p99_ms", at_most=2.0), subject="p99_ms", estimate=estimate,
        limit=2.0, outcome="INCONCLUSIVE", p_pass=1.0, p_fail=1.0,
    )  # fmt: skip
    verdict = Verdict(candidate="a", outcome="INCONCLUSIVE", findings=(finding,), share=1, tried=1)
    (found,) = decode_verdict(json.loads(json.dumps(encode(verdict)))).findings
    assert (found.estimate.low, found.estimate.high) == (-math.inf, math.inf)

"""Result codes: the enumeration, the C header and the exceptions agree."""

import re
from pathlib import Path

import pytest

import fastcore
from fastcore.errors import RESULTS, FastcoreError, Result, RiskError, raise_result

pytestmark = pytest.mark.artefact


def test_result_codes_equal_the_c_header():
    header = (Path(fastcore.get_include()) / "fc_records.h").read_text(encoding="utf-8")
    body = re.search(r"enum fc_result \{(.*?)\};", header, re.DOTALL)[1]
    codes = {name: int(value) for name, value in re.findall(r"FC_(\w+) = (\d+)", body)}
    assert codes == {result.name: result.value for result in Result}


def test_every_failure_has_a_text_of_its_own_and_an_exception():
    assert list(RESULTS) == [result for result in Result if result != Result.OK]
    assert len({text for text, _ in RESULTS.values()}) == len(RESULTS)


def test_a_code_is_raised_as_its_exception():
    with pytest.raises(RiskError, match="^position limit: order must be small: size=3$"):
        raise_result(20, "order must be small: size=3")
    with pytest.raises(FastcoreError, match="^result 99: "):
        raise_result(99, "no such code")

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

import prime_audit.results
from prime_audit.errors import DataError
from prime_audit.results import (
    CI,
    Coverage,
    Gap,
    Method,
    Metric,
    Results,
    Search,
    SearchPoint,
    Study,
    read_results,
    results_schema,
    write_results,
)


def small(**changes: object) -> Results:
    """A minimal run."""
    parts: dict[str, object] = {
        "status": "complete",
        "study": Study(name="s", task="lamp-4", seed=1, design="holdout", config_digest="00"),
        "methods": (Method(id="base", kind="base", family="prompt", label="Base"),),
        "metrics": (Metric(id="utility.primary", method="base", value=1 / 3),),
        "coverage": Coverage(requested=("base",), run=("base",)),
    }
    return Results.model_validate({**parts, **changes})


def test_what_is_written_is_read_back_with_ten_digits(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, small())
    assert read_results(path).metrics[0].value == 0.3333333333
    first = path.read_bytes()
    write_results(path, read_results(path))
    assert path.read_bytes() == first


def test_the_sign_of_a_zero_and_noise_in_the_last_digits_do_not_change_the_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    write_results(one, small(metrics=(Metric(id="a", value=0.1 + 0.2), Metric(id="b", value=-0.0))))
    write_results(two, small(metrics=(Metric(id="a", value=0.3), Metric(id="b", value=0.0))))
    assert one.read_bytes() == two.read_bytes()


def test_the_committed_schema_is_current_and_accepts_a_run(tmp_path: Path) -> None:
    committed = json.loads((Path(prime_audit.results.__file__).parent / "results.schema.json").read_text())
    assert committed == results_schema()
    jsonschema.Draft202012Validator.check_schema(committed)
    write_results(tmp_path / "r.json", small())
    jsonschema.validate(json.loads((tmp_path / "r.json").read_text()), committed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema_version": 1, "status"', "too early"),
        ('{"schema_version": 2}', "schema version 2"),
        ('{"schema_version": "one"}', "schema version one"),
        ("[]", "not a results file"),
        ("{}", "not a results file"),
        ('{"schema_version": 1}', "status: Field required"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read_results(path)
    assert str(path) in str(caught.value)


def test_nan_and_foreign_text_are_refused_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, small())
    document = json.loads(path.read_text())
    document["metrics"][0]["value"] = "my secret history"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"metrics\.0\.value") as caught:
        read_results(path)
    assert "secret" not in str(caught.value)
    document["metrics"][0]["value"] = float("nan")
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="NaN"):
        read_results(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": (Metric(id="a", method="other", value=1.0),)}, "method 'other' is used but not listed"),
        ({"metrics": (Metric(id="a", attack="loss", value=1.0),)}, "attack 'loss' is used but not listed"),
        (
            {"metrics": (Metric(id="a", value=1.0), Metric(id="a", value=2.0))},
            "two metrics have the same key",
        ),
    ],
)
def test_a_run_that_contradicts_itself_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        small(**changes)


def test_metrics_that_differ_in_their_slice_alone_are_two_metrics() -> None:
    both = (Metric(id="a", value=1.0), Metric(id="a", value=2.0, slice={"targets": "merged"}))
    assert len(small(metrics=both).metrics) == 2


def test_parts_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValidationError, match="exactly where the status"):
        Metric(id="a", value=None)
    with pytest.raises(ValidationError, match="exactly where the status"):
        Metric(id="a", value=1.0, status="undefined", reason="few")
    with pytest.raises(ValidationError, match="needs a reason"):
        Metric(id="a", value=None, status="undefined")
    with pytest.raises(ValidationError, match="above its high end"):
        CI(low=0.6, high=0.5, how="x")
    with pytest.raises(ValidationError, match="finite"):
        Metric(id="a", value=float("inf"))
    with pytest.raises(ValidationError, match="pattern"):
        Method(id="<script>", kind="x", family="prompt", label="x")
    with pytest.raises(ValidationError, match="one weight per sharer"):
        Search(method="p", target="t", sharers=("a", "b"), points=(SearchPoint(w=(1.0,), u=0.1),))
    with pytest.raises(ValidationError, match="not among the points"):
        Search(method="p", target="t", sharers=("a",), points=(SearchPoint(w=(1.0,), u=0.1),), chosen=1)


def test_a_part_that_vanished_between_request_and_result_is_refused() -> None:
    with pytest.raises(ValidationError, match="exactly what was requested"):
        Coverage(requested=("a", "b"), run=("a",))
    whole = Coverage(requested=("a", "b"), run=("a",), failed=(Gap(id="b", reason="out of memory"),))
    assert whole.failed[0].id == "b"

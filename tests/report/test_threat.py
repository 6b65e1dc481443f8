"""What the section on assumptions says of private training."""

from collections.abc import Mapping

from prime_audit.report import render_html
from prime_audit.results import Metric, Results


def page(results: Results, manifest: Mapping[str, object], unit: str) -> str:
    part: dict[str, str | int | float | bool] = {"delta": 1e-5, "unit": unit}
    common = {"id": "epsilon.training", "subject": "sharer", "slice": part, "unit": "epsilon"}
    added = [
        Metric.model_validate({**common, "value": 8.0}),
        Metric.model_validate({**common, "value": 7.0, "user": "S01"}),
    ]
    private = results.model_copy(update={"metrics": (*results.metrics, *added)})
    return " ".join(render_html(private, manifest, None).split())


def test_the_promise_of_private_training_stands_with_its_limits(
    results: Results, manifest: Mapping[str, object]
) -> None:
    text = page(results, manifest, "example")
    assert "What the training of the modules promises" in text
    assert "ε is at most 8 at δ = 1e-05. What is protected is one record of a sharer" in text
    assert (
        "The selection of sharers by their histories and the adaptation of the base are not covered" in text
    )
    assert "holds only against somebody who does not know the seed" in text
    assert "everything a sharer has, exchanged for anybody else" in page(results, manifest, "user")
    assert "a unit that this report does not know" in page(results, manifest, "county")


def test_plainly_trained_modules_promise_nothing(results: Results, manifest: Mapping[str, object]) -> None:
    assert "promises" not in render_html(results, manifest, None)

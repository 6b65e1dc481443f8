import pytest

from prime_audit.config import PrimeMethod, UniformMethod, load_method, load_study
from prime_audit.errors import ConfigError
from tests.support import write_study


def test_settings_go_to_the_method_or_to_the_model() -> None:
    model, method = load_method(
        "some/model",
        {"kind": "prime", "alpha": 0.3},
        ["budget=28", "racing.blocks=4", "model.device=cpu", "starts=[base, uniform]"],
    )
    assert (model.base, model.device, model.offline) == ("some/model", "cpu", True)
    assert isinstance(method, PrimeMethod)
    assert (method.alpha, method.budget, method.starts) == (0.3, 28, ("base", "uniform"))
    assert method.racing is not None
    assert method.racing.blocks == 4
    assert load_method("tiny", "uniform")[1] == UniformMethod()


def test_official_is_the_preset_as_in_a_study() -> None:
    _, method = load_method("tiny", "official", ["budget=14"])
    assert isinstance(method, PrimeMethod)
    assert (method.preset, method.space, method.budget) == ("official", "factor", 14)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("prme", [], r"^method: 'prme' is not one of .*did you mean 'prime'\?$"),
        ("uniform", ["scael=2"], r"^--set: unknown key 'scael'; did you mean 'scale'\?$"),
        ({"kind": "uniform", "scael": 2}, [], r"^method: unknown key 'scael'; did you mean 'scale'\?$"),
        ("prime", ["budget=0"], r"^--set: budget: should be greater than or equal to 1 \(it is 0\)$"),
        ("prime", ["budget"], r"^--set budget: expected KEY=VALUE$"),
        ("prime", ["model.devise=cpu"], r"^--set: unknown key 'model\.devise'; did you mean 'model\.device'"),
        ("prime", ["budget=0", "alpha=x"], r"^--set: alpha: .*\n--set: budget: [^\n]*$"),
    ],
)
def test_one_line_per_fault(method: str | dict[str, object], settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_method("tiny", method, settings)


def test_a_list_of_faulty_entries_is_not_called_empty(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("study")
    with pytest.raises(ConfigError, match=r"^[^\n]*'prme' is not one of[^\n]*$"):
        load_study(write_study(folder, methods=["prme"]))
    with pytest.raises(ConfigError, match=r"methods: .*at least 1 item"):
        load_study(write_study(folder, methods=[]))

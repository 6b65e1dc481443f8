"""The parts of `personalize`: which methods can be used, how long a history must be, who is merged."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

import prime_audit
from prime_audit.config import METHOD_KINDS, MethodSettings, ModelConfig, PrimeMethod, UniformMethod, plugins
from prime_audit.core import Seeds
from prime_audit.data import TASKS, Item, User
from prime_audit.errors import ConfigError, DataError, OutputError
from prime_audit.models import LanguageModel, load_model
from prime_audit.modules import LoraModule, write_module
from prime_audit.personalize import METHODS, Personalisation, TargetContext, predict_with, registry
from prime_audit.personalize.adapters import find_adapters, read_adapters
from prime_audit.personalize.output import check_out
from prime_audit.personalize.standalone import check_history, usable_method, utility_alone
from prime_audit.utility import score

TASK = TASKS["lamp-4"]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    config = ModelConfig(base="tiny", device="cpu", dtype="float32")
    return load_model(config, tmp_path_factory.mktemp("store"))


def module_of(lm: LanguageModel, seed: int, rank: int = 2) -> LoraModule:
    generator = torch.Generator().manual_seed(seed)
    factors = {
        name: (
            torch.randn(rank, layer.in_features, generator=generator) * 0.1,
            torch.randn(layer.out_features, rank, generator=generator) * 0.1,
        )
        for name, layer in lm.model.named_modules()
        if isinstance(layer, torch.nn.Linear) and name.endswith(("q_proj", "v_proj"))
    }
    return LoraModule(rank, 4.0, False, factors)


def context(items: int) -> TargetContext:
    history = tuple(Item(str(i), f"text {i}", f"answer {i}") for i in range(items))
    # The base is not read.
    unread: Any = object()
    return TargetContext(TASK, User("t", "target", history, ()), unread, Seeds(1))


def test_each_module_is_measured_as_if_it_were_alone(lm: LanguageModel) -> None:
    modules = {
        name: module_of(lm, seed, rank) for name, seed, rank in (("a", 1, 2), ("b", 2, 5), ("c", 3, 1))
    }
    items = [Item(str(i), f"The mayor of Town {i} opened a bridge.", "Mayor opens bridge") for i in range(5)]
    base, alone = utility_alone(lm, TASK, items, modules)
    prompts = [TASK.prompt(item.input) for item in items]
    golds = ["Mayor opens bridge"] * 5
    assert base == score(TASK, predict_with(lm, TASK, prompts, None), golds).primary
    expected = {
        name: score(TASK, predict_with(lm, TASK, prompts, module), golds).primary
        for name, module in modules.items()
    }
    assert alone == pytest.approx(expected)
    assert len({base, *alone.values()}) > 1


def test_only_methods_that_merge_with_what_is_at_hand() -> None:
    refused = {"pretrained", "base", "rag", "profile", "profile-rag", "in-context", "oppu", "oppu-rag"}
    refused |= {"oppu-profile", "pooled", "per-pcs", "random-weights", "norm-matched", "rescaled"}
    for kind, method in METHODS.items():
        settings = METHOD_KINDS[kind].model_validate({})
        if kind in refused:
            with pytest.raises(ConfigError, match=f"'{kind}' cannot be used here: it") as caught:
                usable_method(settings)
            assert "prime" in caught.value.hint
            assert not {"oppu", "rag"} & set(caught.value.hint.split(":")[1].split(";")[0].split(", "))
        else:
            assert usable_method(settings) is method


def test_a_privacy_term_that_needs_the_sharers_records_is_refused() -> None:
    with pytest.raises(ConfigError, match="'membership-gap' needs records of the sharers"):
        usable_method(PrimeMethod(privacy="membership-gap"))


@pytest.fixture
def _control() -> Iterator[None]:
    class EchoMethod(MethodSettings):
        kind: Literal["echo"] = "echo"
        id: str = "echo"
        of: str = "prime"

    @prime_audit.register_method("echo", settings=EchoMethod, family="merging", label="Echo")
    def echo(context: TargetContext, settings: EchoMethod) -> Personalisation:
        return Personalisation(context.plain_prompt)

    yield
    registry._methods.pop("echo")
    plugins._settings.pop("echo")


@pytest.mark.usefixtures("_control")
def test_what_is_built_from_another_method_is_refused() -> None:
    settings = METHODS["echo"].settings.model_validate({})
    with pytest.raises(ConfigError, match="it is a control, built from what another method deployed"):
        usable_method(settings)


@pytest.mark.parametrize(("items", "fraction"), [(1, 0.4), (3, 0.4), (5, 0.05)])
def test_too_short_a_history_is_refused_with_the_number_that_is_enough(items: int, fraction: float) -> None:
    settings = PrimeMethod(selection_fraction=fraction)
    with pytest.raises(DataError, match=rf"ann\.jsonl: holds {items} items.* needs (\d+)$") as caught:
        check_history(context(items), settings, Path("ann.jsonl"))
    needed = int(str(caught.value).rpartition(" ")[2])
    check_history(context(needed), settings, Path("ann.jsonl"))
    with pytest.raises(DataError):
        check_history(context(needed - 1), settings, Path("ann.jsonl"))


def test_a_method_that_splits_nothing_needs_one_item() -> None:
    check_history(context(1), UniformMethod(), Path("ann.jsonl"))
    check_history(context(1), PrimeMethod(selection_fraction=0, choice="recommendation"), Path("ann.jsonl"))


def test_a_cap_below_the_split_is_the_settings_fault() -> None:
    with pytest.raises(ConfigError, match="max_items 2 leave no search and selection part"):
        check_history(context(50), PrimeMethod(max_items=2), Path("ann.jsonl"))


def test_ranks_may_differ_and_hidden_folders_and_files_are_left_aside(
    lm: LanguageModel, tmp_path: Path
) -> None:
    write_module(module_of(lm, 1, 2), tmp_path / "b", "tiny")
    write_module(module_of(lm, 2, 5), tmp_path / "a", "hub/Tiny")
    (tmp_path / ".git").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    found = read_adapters(find_adapters(tmp_path), lm)
    assert list(found) == ["a", "b"]
    assert found["b"].digest == module_of(lm, 1, 2).digest


def test_a_linked_file_that_leads_out_is_refused_and_one_that_stays_is_read(
    lm: LanguageModel, tmp_path: Path
) -> None:
    folder = tmp_path / "adapters"
    write_module(module_of(lm, 1), folder / "a", "tiny")
    weights = folder / "a" / "adapter_model.safetensors"
    weights.rename(folder / "blob")
    weights.symlink_to("../blob")
    assert list(read_adapters(find_adapters(folder), lm)) == ["a"]
    (folder / "blob").rename(tmp_path / "blob")
    weights.unlink()
    weights.symlink_to("../../blob")
    with pytest.raises(DataError, match=r"safetensors: a link that leads out of .*adapters"):
        read_adapters(find_adapters(folder), lm)


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "there is no adapter in it"), (("two words",), "sharer id 'two words' is not usable")],
)
def test_a_folder_without_usable_names(
    names: tuple[str, ...], message: str, lm: LanguageModel, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=message):
        read_adapters(find_adapters(tmp_path), lm)


def test_the_adapter_itself_is_not_a_folder_of_adapters(lm: LanguageModel, tmp_path: Path) -> None:
    write_module(module_of(lm, 1), tmp_path / "a", "tiny")
    with pytest.raises(DataError, match="one adapter, not a folder of adapters") as caught:
        read_adapters(find_adapters(tmp_path / "a"), lm)
    assert "folder above" in caught.value.hint
    with pytest.raises(DataError, match="no such folder"):
        read_adapters(find_adapters(tmp_path / "nowhere"), lm)


def test_where_the_result_may_go(tmp_path: Path) -> None:
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    check_out(tmp_path / "new" / "deep", adapters, False)
    out = tmp_path / "out"
    out.mkdir()
    check_out(out, adapters, False)
    (out / "private.json").write_text("{}")
    with pytest.raises(OutputError, match="a personalisation already"):
        check_out(out, adapters, False)
    check_out(out, adapters, True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(OutputError, match="something else"):
        check_out(tmp_path / "link", adapters, True)
    with pytest.raises(OutputError, match="one more sharer"):
        check_out(adapters, adapters, True)
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(OutputError, match="cannot be written"):
            check_out(tmp_path / "closed" / "out", adapters, False)


def test_a_second_method_of_one_kind_is_refused_with_both_places() -> None:
    before = dict(METHODS)
    with pytest.raises(
        ConfigError, match=r"'uniform': prime_audit\.personalize\.averaging\.uniform and .*another"
    ):

        @prime_audit.register_method("uniform", settings=UniformMethod, family="merging", label="Twin")
        def another(context: TargetContext, settings: UniformMethod) -> Personalisation:
            return replace(Personalisation(context.plain_prompt))

    assert dict(METHODS) == before

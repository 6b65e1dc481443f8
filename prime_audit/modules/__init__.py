"""LoRA modules: files, weighted mixtures, training, export."""

from prime_audit.modules.bank import AdapterBank
from prime_audit.modules.export import export, truncation_error
from prime_audit.modules.files import read_module, write_module
from prime_audit.modules.inner_products import gram
from prime_audit.modules.lora import LoraModule
from prime_audit.modules.merging import merged_into
from prime_audit.modules.training import adapt, train_module

__all__ = [
    "AdapterBank",
    "LoraModule",
    "adapt",
    "export",
    "gram",
    "merged_into",
    "read_module",
    "train_module",
    "truncation_error",
    "write_module",
]

"""LoRA modules: files, weighted mixtures, training, export."""

from prime_audit.modules.bank import AdapterBank
from prime_audit.modules.early_stopping import (
    Stopping,
    TrainingRecord,
    read_record,
    train_personal,
    write_record,
)
from prime_audit.modules.export import export, truncation_error
from prime_audit.modules.files import open_module, read_module, write_module
from prime_audit.modules.gates import GateSettings, read_gates, train_gates, write_gates
from prime_audit.modules.gradients import gradient_norms
from prime_audit.modules.inner_products import gram, is_weighted_sum, merge_norm
from prime_audit.modules.lora import LoraModule
from prime_audit.modules.merging import merged_into
from prime_audit.modules.privacy import Guarantee, promised, read_guarantee, write_guarantee
from prime_audit.modules.private_training import train_private_module
from prime_audit.modules.training import adapt, train_module

__all__ = [
    "AdapterBank",
    "GateSettings",
    "Guarantee",
    "LoraModule",
    "Stopping",
    "TrainingRecord",
    "adapt",
    "export",
    "gradient_norms",
    "gram",
    "is_weighted_sum",
    "merge_norm",
    "merged_into",
    "open_module",
    "promised",
    "read_gates",
    "read_guarantee",
    "read_module",
    "read_record",
    "train_gates",
    "train_module",
    "train_personal",
    "train_private_module",
    "truncation_error",
    "write_gates",
    "write_guarantee",
    "write_module",
    "write_record",
]

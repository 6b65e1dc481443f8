"""The methods that a study file may name."""

from collections.abc import Mapping
from types import MappingProxyType

from prime_audit.personalize.averaging import uniform
from prime_audit.personalize.own import oppu
from prime_audit.personalize.prime import prime
from prime_audit.personalize.prompting import base, pretrained, rag
from prime_audit.personalize.types import Method

_ALL = (
    Method("pretrained", "prompt", "Pretrained model", pretrained, source="the model as it came"),
    Method("base", "training", "Task-adapted base", base, source="LoRA on public users, merged"),
    Method("rag", "prompt", "Retrieval (BM25)", rag, source="LaMP, arXiv:2304.11406"),
    Method(
        "oppu", "training", "Own module (OPPU)", oppu, needs_own_module=True, source="OPPU, arXiv:2402.04401"
    ),
    Method(
        "uniform", "merging", "Uniform merge", uniform, source="average of task vectors, arXiv:2212.04089"
    ),
    Method("prime", "merging", "PriME", prime, source="PriME, EMNLP 2025"),
)
METHODS: Mapping[str, Method] = MappingProxyType({method.kind: method for method in _ALL})

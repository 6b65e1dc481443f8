"""A causal language model with what is needed to run it."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prime_audit.errors import ModelError
from prime_audit.models.batching import Batching


@dataclass
class LanguageModel:
    """A frozen causal language model and its tokenizer.

    Attributes:
        model: The model, in eval mode, without gradients.
        tokenizer: Its tokenizer.
        device: Where the model lies.
        digest: Digest of its weight, configuration and tokenizer files, and of how they are quantised, if
            they are; of a merged model, of the digests of its base and its module.
        name: The name it was asked for by, such as ``tiny``.
        max_tokens: Longest sequence, in tokens, that is ever fed to it.
        batching: How much is computed at once; a model merged from this one shares it.
        quantization: How the weights of its linear layers are held, or None if that is in full.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    digest: str
    name: str
    max_tokens: int
    batching: Batching = field(default_factory=Batching)
    quantization: Mapping[str, Any] | None = None

    @cached_property
    def eos_id(self) -> int:
        """The token that ends a completion."""
        token = self.tokenizer.eos_token_id
        if not isinstance(token, int):
            raise ModelError(
                f"model {self.name}: its tokenizer has no end-of-sequence token",
                hint="set eos_token in tokenizer_config.json",
            )
        return token

    @cached_property
    def bos_id(self) -> int:
        """The token that every sequence starts with: BOS, or EOS where the tokenizer has no BOS."""
        token = self.tokenizer.bos_token_id
        return token if isinstance(token, int) else self.eos_id

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The tokens at which decoding stops: EOS and whatever the generation config adds."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        more = configured if isinstance(configured, list) else [configured]
        return frozenset([self.eos_id, *(token for token in more if isinstance(token, int))])

    @cached_property
    def takes_positions(self) -> bool:
        """Whether the architecture reads position ids (ALiBi models do not)."""
        return "position_ids" in inspect.signature(self.model.forward).parameters

    @property
    def head(self) -> nn.Module | None:
        """The output embedding, if the architecture has one."""
        model: Any = self.model
        head: nn.Module | None = model.get_output_embeddings()
        return head

    @property
    def embedding_shape(self) -> tuple[int, int]:
        """Rows (at least the vocabulary) and width of the input embedding."""
        embedding: Any = self.model.get_input_embeddings()
        rows, width = embedding.weight.shape
        return rows, width

    @cached_property
    def plain_head(self) -> bool:
        """Whether logits are exactly the output embedding of the last hidden state.

        Some architectures cap or scale their logits. It is found out by trying, so that the cheap way
        (output embedding at a few positions only) is never taken where it would be wrong.
        """
        if self.head is None or self.model.base_model is self.model:
            return False
        ids = torch.tensor([[self.bos_id, self.eos_id, self.bos_id]], device=self.device)
        with torch.no_grad():
            states = self.model.base_model(input_ids=ids, use_cache=False)[0]
            whole = self.model(input_ids=ids, use_cache=False).logits
            return bool(torch.equal(self.head(states).float(), whole.float()))

"""Base language models: loading, per-token scoring, label scoring, decoding, embedding."""

from prime_audit.models.adapters import RowAdapters
from prime_audit.models.batching import Batching, fits_or_says
from prime_audit.models.decoding import (
    choose_labels,
    continue_tokens,
    generate,
    predict,
    score_continuations,
    score_labels,
)
from prime_audit.models.distributions import answer_distributions
from prime_audit.models.embedding import embed
from prime_audit.models.encoding import Encoded, Example, as_read, encode, encode_all, tokenize
from prime_audit.models.fitting import count_tokens, first_tokens, prompt_room
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.loading import load_model, model_outline
from prime_audit.models.metering import Meter, metered
from prime_audit.models.neighbours import altered_copies, score_neighbours
from prime_audit.models.overlap import generation_overlap
from prime_audit.models.quantizing import FOUR_BITS, check_quantization
from prime_audit.models.sampling import Draws
from prime_audit.models.scoring import score_tokens
from prime_audit.models.sentence_encoder import (
    SentenceEncoder,
    SentenceFolder,
    load_sentence_encoder,
    read_sentence_folder,
)
from prime_audit.models.variants import leaves_room, score_lowercase, score_prefixed, score_repeated

__all__ = [
    "FOUR_BITS",
    "Batching",
    "Draws",
    "Encoded",
    "Example",
    "LanguageModel",
    "Meter",
    "RowAdapters",
    "SentenceEncoder",
    "SentenceFolder",
    "altered_copies",
    "answer_distributions",
    "as_read",
    "check_quantization",
    "choose_labels",
    "continue_tokens",
    "count_tokens",
    "embed",
    "encode",
    "encode_all",
    "first_tokens",
    "fits_or_says",
    "generate",
    "generation_overlap",
    "leaves_room",
    "load_model",
    "load_sentence_encoder",
    "metered",
    "model_outline",
    "predict",
    "prompt_room",
    "read_sentence_folder",
    "score_continuations",
    "score_labels",
    "score_lowercase",
    "score_neighbours",
    "score_prefixed",
    "score_repeated",
    "score_tokens",
    "tokenize",
]

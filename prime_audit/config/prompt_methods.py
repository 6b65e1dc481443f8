"""The settings of the methods that personalise by the prompt alone."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from prime_audit.config.section import Count, Id, MethodSettings

Retriever = Literal["bm25", "recency", "random", "dense"]


class PretrainedMethod(MethodSettings):
    """The model as it came."""

    kind: Literal["pretrained"] = "pretrained"
    id: Id = "pretrained"


class RetrievalSettings(MethodSettings):
    """How past items come into a prompt: the `k` best by `retriever`, the best one next to the question.

    `recency` takes the latest by date and then by order, `random` draws anew for each query, `dense` compares
    vectors: the base's mean hidden states, or those of a sentence-transformers folder (`encoder`). An item
    takes at most `max_item_tokens` tokens and loses its end. What does not fit into the model's context is
    left out, the lowest-ranked item first, and counted in the report.
    """

    retriever: Retriever = "bm25"
    k: Count = 2
    encoder: Annotated[str, Field(min_length=1)] = "base"
    max_item_tokens: Count | None = None

    @model_validator(mode="after")
    def _encodes(self) -> Self:
        if self.encoder != "base" and self.retriever != "dense":
            raise ValueError(f"'encoder' is used by 'retriever: dense' alone, not by '{self.retriever}'")
        return self


class ProfileSettings(MethodSettings):
    """Where the words about a person come from, and how many tokens of them a prompt shows.

    `template` puts frequent words and answers of the history into a fixed sentence, for models too small to
    write; `written` has the pretrained model sum the history up; `given` takes the user's `profile_text`.
    Nobody knows which records a given profile tells of, so a hold-out design asks you to state that it is
    `independent` of the history.
    """

    source: Literal["template", "written", "given"] = "template"
    independent: bool = False
    max_profile_tokens: Count = 128


class RagMethod(RetrievalSettings):
    """The base with the `k` most fitting history items in its prompt."""

    kind: Literal["rag"] = "rag"
    id: Id = "rag"


class ProfileMethod(ProfileSettings):
    """The base with a few sentences about the person in its prompt."""

    kind: Literal["profile"] = "profile"
    id: Id = "profile"


class ProfileRagMethod(ProfileSettings, RetrievalSettings):
    """The base with both in its prompt: sentences about the person, then the most fitting history items."""

    kind: Literal["profile-rag"] = "profile-rag"
    id: Id = "profile-rag"


class InContextMethod(RetrievalSettings):
    """The base with `k` answered items of public users in its prompt, and nobody's private ones."""

    kind: Literal["in-context"] = "in-context"
    id: Id = "in-context"
    retriever: Retriever = "random"

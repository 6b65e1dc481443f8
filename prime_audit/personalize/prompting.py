"""Prompt-based methods: the pretrained model, the base, and what can be put before a question.

Sources: LaMP (arXiv:2304.11406) section 3 for retrieval augmentation; OPPU (arXiv:2402.04401) for profiles.
"""

from prime_audit.config import (
    BaseMethod,
    InContextMethod,
    PretrainedMethod,
    ProfileMethod,
    ProfileRagMethod,
    ProfileSettings,
    RagMethod,
    RetrievalSettings,
)
from prime_audit.errors import ConfigError
from prime_audit.personalize.augmenting import PersonalPrompt
from prime_audit.personalize.profiles import Profile, profile_of
from prime_audit.personalize.registry import register
from prime_audit.personalize.retrieval import Retriever
from prime_audit.personalize.types import Personalisation, TargetContext


@register(
    "pretrained",
    settings=PretrainedMethod,
    family="prompt",
    label="Pretrained model",
    source="the model as it came",
)
def pretrained(context: TargetContext, settings: PretrainedMethod) -> Personalisation:
    """Deploys the model as it came, without task adaptation."""
    return Personalisation(prompt=context.plain_prompt, on_pretrained=True)


@register(
    "base",
    settings=BaseMethod,
    family="training",
    label="Task-adapted base",
    source="LoRA on public users, merged",
)
def base(context: TargetContext, settings: BaseMethod) -> Personalisation:
    """Deploys the task-adapted model: the comparator that is not personalised."""
    return Personalisation(prompt=context.plain_prompt)


@register(
    "rag",
    settings=RagMethod,
    family="prompt",
    label="Retrieval",
    source="LaMP, arXiv:2304.11406",
)
def rag(context: TargetContext, settings: RagMethod) -> Personalisation:
    """Puts the ``k`` most fitting items of the target's history in front of each query."""
    return augmented(context, retrieval=settings)


@register(
    "profile",
    settings=ProfileMethod,
    family="prompt",
    label="Profile",
    source="profile augmentation, OPPU, arXiv:2402.04401",
)
def profile(context: TargetContext, settings: ProfileMethod) -> Personalisation:
    """Puts words about the target in front of each query."""
    return augmented(context, profile=settings)


@register(
    "profile-rag",
    settings=ProfileRagMethod,
    family="prompt",
    label="Profile and retrieval",
    source="profile augmentation, OPPU, arXiv:2402.04401",
)
def profile_rag(context: TargetContext, settings: ProfileRagMethod) -> Personalisation:
    """Puts words about the target and the most fitting items of the history in front of each query."""
    return augmented(context, retrieval=settings, profile=settings)


@register(
    "in-context",
    settings=InContextMethod,
    family="prompt",
    label="In-context examples (public)",
    source="few-shot prompting, arXiv:2005.14165",
    needs_public=True,
)
def in_context(context: TargetContext, settings: InContextMethod) -> Personalisation:
    """Puts answered items of public users in front of each query; nothing of the target, nothing private."""
    if not context.public:
        raise ConfigError(
            f"method {settings.id} shows items of public users, and the data hold none",
            hint="give some users the role 'public', or leave the method out",
        )
    pick = Retriever(context, settings, context.public).retrieve
    most = settings.max_item_tokens
    prompt = PersonalPrompt(context.base, context.task, pick=pick, max_item_tokens=most)
    return Personalisation(prompt=prompt, fit=prompt.fit)


def augmented(
    context: TargetContext,
    retrieval: RetrievalSettings | None = None,
    profile: ProfileSettings | None = None,
) -> Personalisation:
    """Builds prompts from the target's own history, and deploys no adapter.

    Args:
        context: The target's context.
        retrieval: Which items are shown; None for none.
        profile: Where the words about the target come from; None for none.

    Returns:
        The personalisation.
    """
    about = Profile("", ()) if profile is None else profile_of(context, profile)
    history = () if retrieval is None else context.target.history
    prompt = PersonalPrompt(
        context.base,
        context.task,
        pick=None if retrieval is None else Retriever(context, retrieval, history).retrieve,
        profile=about.text,
        max_item_tokens=None if retrieval is None else retrieval.max_item_tokens,
    )
    texts = [text for item in history for text in (item.input, item.answer or "")]
    kept = tuple(text for text in (about.text, *texts) if text)
    return Personalisation(prompt=prompt, fit=prompt.fit, private=about.private, kept=kept)

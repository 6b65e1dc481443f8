"""The registered tasks: LaMP-1 to LaMP-7 and the news categories that LaMP-2 asked for at first.

Labels and metrics are LaMP's (Salemi et al. 2024, arXiv:2304.11406, section 3). The instructions are written
for this project; LaMP's own come with its files, where a marker says which part of a question is the user's.
"""

from collections.abc import Mapping
from types import MappingProxyType

from prime_audit.data.tasks import METRICS, Task

_TAGS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)
_CATEGORIES = (
    "food & drink",
    "sports",
    "education",
    "parents",
    "religion",
    "travel",
    "business",
    "crime",
    "science & technology",
    "culture & arts",
    "entertainment",
    "politics",
    "women",
    "style & beauty",
    "healthy living",
)

# A past paper has a title and an abstract and no references to choose between.
_PAPER = Task(
    id="lamp-1-history",
    title="Abstract of an author's paper",
    kind="text",
    instruction="Write the abstract that the author of this paper would write.",
    input_name="Title",
    answer_name="Abstract",
    labels=(),
    metric=METRICS["text"],
    max_new_tokens=64,
)
# A past post has only its text. LaMP's per-user training completes posts as well.
_POST = Task(
    id="lamp-7-history",
    title="Completion of an author's post",
    kind="text",
    instruction="Go on with this post as its author would.",
    input_name="Beginning",
    answer_name="Post",
    labels=(),
    metric=METRICS["text"],
    max_new_tokens=48,
)

_REGISTERED = (
    Task(
        id="lamp-1",
        title="LaMP-1 citation identification",
        kind="choice",
        instruction="Which of the two papers [1] and [2] does the author of this paper cite?",
        input_name="Paper",
        answer_name="Cited",
        labels=("[1]", "[2]"),
        metric=METRICS["choice"],
        max_new_tokens=4,
        of_history=_PAPER,
    ),
    Task(
        id="lamp-2",
        title="LaMP-2 movie tagging",
        kind="choice",
        instruction=f"Pick the one tag that suits this film. Tags: {', '.join(_TAGS)}.",
        input_name="Film",
        answer_name="Tag",
        labels=_TAGS,
        metric=METRICS["choice"],
        max_new_tokens=8,
        query_marker="description:",
    ),
    Task(
        id="lamp-2n",
        title="LaMP-2 news categorisation (first edition)",
        kind="choice",
        instruction=f"Pick the one category that its author would file this under: {', '.join(_CATEGORIES)}.",
        input_name="Text",
        answer_name="Category",
        labels=_CATEGORIES,
        metric=METRICS["choice"],
        max_new_tokens=8,
        query_marker="article:",
    ),
    Task(
        id="lamp-3",
        title="LaMP-3 product rating",
        kind="number",
        instruction="How many stars did the author of this review give, from 1 (worst) to 5 (best)?",
        input_name="Review",
        answer_name="Stars",
        labels=("1", "2", "3", "4", "5"),
        metric=METRICS["number"],
        max_new_tokens=4,
        query_marker="review:",
    ),
    Task(
        id="lamp-4",
        title="LaMP-4 headline generation",
        kind="text",
        instruction="Give this text the headline that its author would choose.",
        input_name="Text",
        answer_name="Headline",
        labels=(),
        metric=METRICS["text"],
        max_new_tokens=24,
        query_marker="article:",
    ),
    Task(
        id="lamp-5",
        title="LaMP-5 scholarly title generation",
        kind="text",
        instruction="Give this abstract the title that its author would choose.",
        input_name="Abstract",
        answer_name="Title",
        labels=(),
        metric=METRICS["text"],
        max_new_tokens=32,
        query_marker="paper:",
    ),
    Task(
        id="lamp-6",
        title="LaMP-6 e-mail subject generation",
        kind="text",
        instruction="Give this e-mail the subject line that its author would choose.",
        input_name="E-mail",
        answer_name="Subject",
        labels=(),
        metric=METRICS["text"],
        max_new_tokens=24,
        query_marker=":",
    ),
    Task(
        id="lamp-7",
        title="LaMP-7 tweet paraphrasing",
        kind="text",
        instruction="Say this in the words that the author of the post would choose.",
        input_name="Text",
        answer_name="Post",
        labels=(),
        metric=METRICS["text"],
        max_new_tokens=48,
        query_marker=":",
        of_history=_POST,
    ),
)

TASKS: Mapping[str, Task] = MappingProxyType({task.id: task for task in _REGISTERED})

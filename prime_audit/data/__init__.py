"""Users, records, tasks and designs."""

from prime_audit.data.attributes import Attributes, attributes_of
from prime_audit.data.canaries import TOKEN_CAP, Canary, CanaryDesign, draw_canaries, why_no_canaries
from prime_audit.data.canary_types import Marked, canary_form, canary_item, find_marked
from prime_audit.data.checking import check_dataset
from prime_audit.data.dates import by_date, is_later, usable_for
from prime_audit.data.describing import describe
from prime_audit.data.designs import Holdout, draw_holdout, everything_in
from prime_audit.data.generated import generated_dataset
from prime_audit.data.history import read_history
from prime_audit.data.lamp import read_predictions
from prime_audit.data.lamp_forms import FORMS
from prime_audit.data.lamp_tasks import TASKS
from prime_audit.data.reading import detect_layout, detect_task, read_dataset, task_of_golds
from prime_audit.data.repeats import Overlap, RecordIndex, overlaps
from prime_audit.data.shadow_design import ShadowDesign, draw_shadows
from prime_audit.data.swap_design import PoolDesign, SwapDesign, draw_pools, draw_swaps
from prime_audit.data.task_file import load_task
from prime_audit.data.tasks import Item, Task, described
from prime_audit.data.unseen import Unseen, draw_unseen
from prime_audit.data.users import Dataset, User, make_dataset
from prime_audit.data.writing import OTHERS, check_query_ids, golds_file, write_dataset

__all__ = [
    "FORMS",
    "OTHERS",
    "TASKS",
    "TOKEN_CAP",
    "Attributes",
    "Canary",
    "CanaryDesign",
    "Dataset",
    "Holdout",
    "Item",
    "Marked",
    "Overlap",
    "PoolDesign",
    "RecordIndex",
    "ShadowDesign",
    "SwapDesign",
    "Task",
    "Unseen",
    "User",
    "attributes_of",
    "by_date",
    "canary_form",
    "canary_item",
    "check_dataset",
    "check_query_ids",
    "describe",
    "described",
    "detect_layout",
    "detect_task",
    "draw_canaries",
    "draw_holdout",
    "draw_pools",
    "draw_shadows",
    "draw_swaps",
    "draw_unseen",
    "everything_in",
    "find_marked",
    "generated_dataset",
    "golds_file",
    "is_later",
    "load_task",
    "make_dataset",
    "overlaps",
    "read_dataset",
    "read_history",
    "read_predictions",
    "task_of_golds",
    "usable_for",
    "why_no_canaries",
    "write_dataset",
]

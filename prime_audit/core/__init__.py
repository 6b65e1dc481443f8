"""What every room needs: files, safe ids and paths, seeds, printable text."""

from prime_audit.core.append_log import AppendLog
from prime_audit.core.files import (
    atomic_write_bytes,
    atomic_write_text,
    digest_bytes,
    digest_file,
    digest_folder,
    digest_json,
    parse_json,
    read_json,
    read_lines,
    read_text,
    sync_folder,
    write_json,
)
from prime_audit.core.folders import atomic_dir, make_private_dir, refuse_foreign, remove_temporaries
from prime_audit.core.ids import check_id, inside
from prime_audit.core.json_stream import read_json_list
from prime_audit.core.lock import refuse_if_held, sole_writer
from prime_audit.core.places import RUN_MARKS, default_store
from prime_audit.core.sanitise import printable
from prime_audit.core.seeds import Seeds
from prime_audit.core.unexpected import ran_out_of_memory, unexpected
from prime_audit.core.wording import plural

__all__ = [
    "RUN_MARKS",
    "AppendLog",
    "Seeds",
    "atomic_dir",
    "atomic_write_bytes",
    "atomic_write_text",
    "check_id",
    "default_store",
    "digest_bytes",
    "digest_file",
    "digest_folder",
    "digest_json",
    "inside",
    "make_private_dir",
    "parse_json",
    "plural",
    "printable",
    "ran_out_of_memory",
    "read_json",
    "read_json_list",
    "read_lines",
    "read_text",
    "refuse_foreign",
    "refuse_if_held",
    "remove_temporaries",
    "sole_writer",
    "sync_folder",
    "unexpected",
    "write_json",
]

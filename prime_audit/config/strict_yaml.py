"""YAML as a study needs it: safe, no aliases, no key twice, and numbers that mean what they look like."""

import re

import yaml

from prime_audit.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """A safe loader without aliases, repeated keys, dates, octal numbers or `yes` and `no` as booleans."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own way to give a loader its resolvers

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a few lines of them can unfold into gigabytes."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, object]:  # type: ignore[override]
        """Build a dict whose keys are text and appear once."""
        seen: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key_node.start_mark)
            if key in seen:
                problem = f"the key '{key}' appears twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen[key] = self.construct_object(value_node, deep=deep)
        return seen


# YAML 1.2 core schema, with "1e-3" a number: PyYAML follows YAML 1.1, where it is text and "no" is false.
for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
):
    # An integer with a leading zero is an id or a code, never a number: keep it as text.
    _exact = rf"(?!0[0-9])(?:{_pattern})\Z"
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_exact), _first)


def parse_yaml(text: str, where: str) -> object:
    """Parse one YAML document.

    Args:
        text: The document.
        where: The name of its file, for messages.

    Returns:
        Plain dicts with text keys, lists, strings, numbers, booleans and None.

    Raises:
        ConfigError: The text is no YAML, or uses an alias, a tag or a key twice; line and column are named.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}{place}: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: not usable YAML (a control character, or nested too deeply)") from error

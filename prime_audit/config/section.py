"""What every part of a study file is: frozen, strict, and closed to unknown keys."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Id = Annotated[str, Field(pattern=ID_PATTERN)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
# A list in YAML stands for a tuple; below a validator of our own, pydantic's strict mode would refuse it.
ListIsTuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
Share = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A part of a study: frozen, no unknown keys, no silent conversion of types, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MethodSettings(Section):
    """What every method has: its kind, and the id under which it appears in the results."""

    kind: str
    id: Id

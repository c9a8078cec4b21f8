"""Numbers within bounds, as the fields of the schema take them."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from nasgait.config.amount import with_suffix

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(gt=0), BeforeValidator(with_suffix)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
TwoOrMore = Annotated[int, Field(ge=2)]

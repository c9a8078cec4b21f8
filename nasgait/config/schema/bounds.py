"""Numbers and names within bounds, as the fields of the schema take them."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from nasgait.config.amount import in_seconds, with_suffix
from nasgait.config.names import folder_name, folder_names

Probability = Annotated[float, Field(ge=0, le=1)]
MOST = 2**31 - 1
"""More of anything is a slip; torch and the system take no more either."""
Count = Annotated[int, Field(ge=1, le=MOST)]
Whole = Annotated[int, Field(ge=0, le=2**63 - 1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(gt=0), BeforeValidator(with_suffix)]
Duration = Annotated[float, Field(gt=0), BeforeValidator(in_seconds)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
TwoOrMore = Annotated[int, Field(ge=2, le=MOST)]
Name = Annotated[str, AfterValidator(folder_name)]
Names = Annotated[str, AfterValidator(folder_names)]

"""A dashboard that tests share."""

from dataclasses import dataclass

from support.models import Trained


@dataclass(frozen=True)
class DemandBoard:
    """A dashboard of a version with demand forecasts, its API, and the version, which nobody changes."""

    url: str
    api: str
    trained: Trained

"""A pickle that does harm."""

from pathlib import Path


class Harmful:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple:
        return (self.marker.touch, ())

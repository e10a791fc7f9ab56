"""What the page says of the loss terms, and text freed of what belongs to one machine."""

from __future__ import annotations

import re


def without_folders(text: str) -> str:
    """Text in which file names have lost the folders they lay in on the machine of the run."""
    return re.sub(r"(?:[^\s/<>]*/)+([^\s/<>]+)", r"\1", text)

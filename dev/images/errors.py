"""What can go wrong when an image is built or run."""

from __future__ import annotations


class ImageError(Exception):
    """An image could not be built or run; the message says why, and ends with the program's last lines if there are any."""

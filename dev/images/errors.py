"""The errors of building and running an image."""

from __future__ import annotations


class ImageError(Exception):
    """An image could not be built or run; the message says why, and ends with the program's last lines if there are any."""

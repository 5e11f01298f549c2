"""Packs pictures of figures into less space."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from pipeline_src.errors import InputError
from pipeline_src.files import read_bytes

#: Formats that a picture is packed as, by their suffixes.
PICTURE_SUFFIXES = ("webp", "png")
#: A WebP image is less high and wide than this, in pixels.
WEBP_LIMIT = 1 << 14


def packed_picture(path: Path) -> tuple[str, bytes]:
    """The pixels of a PNG file as lossless WebP, in less than half the space.

    Returns:
        The format, `webp` (`png` for a picture that is too large for it), and the content.

    Raises:
        InputError: the file cannot be read, or is no image of a plausible size.
    """
    content, packed = read_bytes(path), BytesIO()
    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            if max(image.size) >= WEBP_LIMIT:
                return "png", content
            image.save(packed, "WEBP", lossless=True)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: is not a picture that can be shown ({error})") from None
    return "webp", packed.getvalue()

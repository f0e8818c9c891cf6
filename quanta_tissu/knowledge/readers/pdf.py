"""PDF: the text of each page, by pypdf."""

from __future__ import annotations

import importlib.util
import io

from quanta_tissu.errors import DataError, MissingDependencyError
from quanta_tissu.knowledge.passages import Block


def read_pdf(data: bytes, name: str) -> list[Block]:
    """Read the pages of a PDF; pages that are pictures have no text.

    Args:
        data: The file's bytes.
        name: What messages call it.

    Raises:
        MissingDependencyError: pypdf is not installed.
        DataError: It is damaged, encrypted, or has no text at all.
    """
    if importlib.util.find_spec("pypdf") is None:
        raise MissingDependencyError(
            f"{name} is a PDF, which needs pypdf to be read; it is not installed",
            hint="install it with `pip install 'quanta-tissu[pdf]'`",
        )
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        pages = [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]
    except (PyPdfError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"cannot read the PDF {name}: {error}", hint="it may be damaged or encrypted") from None
    blocks = [Block(text.strip(), (), number, number) for number, text in enumerate(pages, 1) if text.strip()]
    if not blocks:
        raise DataError(
            f"the PDF {name} has no text", hint="its pages may be pictures; run them through OCR first"
        )
    return blocks

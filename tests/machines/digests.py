"""Print the SHA-256 of everything that synthesis makes; it has to be the same on every machine and Python.

Run as ``.venv/bin/python -m tests.machines.digests``: the files that ``portfolio release`` would freeze, then those of
``cdk synth``.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import app
from pipeline.synthesis import synthesise, template_bytes
from products.catalog import PRODUCTS
from products.releases import ARCHIVE, TEMPLATE
from products.shared import seed_code

if TYPE_CHECKING:
    from collections.abc import Iterator


def made() -> Iterator[tuple[str, bytes]]:
    """Yield every file with its name: templates and archives of products, then the assembly of the app."""
    for product in PRODUCTS:
        yield f"{product.SPEC.id}/{TEMPLATE}", template_bytes(synthesise(product))
        if product.SPEC.seed_code is not None:
            yield f"{product.SPEC.id}/{ARCHIVE}", seed_code.archive(product.SPEC.seed_code)
    with tempfile.TemporaryDirectory() as folder:
        app.build(outdir=folder, checks=False).synth()
        for file in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
            if not file.name.endswith(".metadata.json"):  # stack traces of annotations, through temporary folders
                yield file.relative_to(folder).as_posix(), file.read_bytes()


if __name__ == "__main__":
    for name, content in made():
        print(hashlib.sha256(content).hexdigest(), name)

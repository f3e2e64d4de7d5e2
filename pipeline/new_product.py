"""``portfolio new``: the files of a product that starts as a copy of another one."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from products.answers import FILE as ANSWERS
from products.releases import ReleaseError
from products.shared import seed_code

if TYPE_CHECKING:
    from collections.abc import Iterator

_ID: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
_LINE: Final = 120  # characters, as in pyproject.toml
_CATALOG: Final = Path("products/catalog.py")
_PORTFOLIOS: Final = Path("portfolios/catalog.py")


class NewProductError(ReleaseError):
    """A product cannot be made like that; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class NewProduct:
    """What was written.

    Attributes:
        made: New files, relative to the repository, sorted.
        changed: Files that name the product now.
        layers: Layers of seed code that are its own, with that of the other product from which each was copied.
    """

    made: tuple[Path, ...]
    changed: tuple[Path, ...]
    layers: dict[str, str]


@dataclass(frozen=True)
class _Names:
    """How a product is called in the places that name it, e.g. of ``train-s3``."""

    id: str

    @property
    def folder(self) -> str:
        return self.id.replace("-", "_")

    @property
    def kind(self) -> str:
        """What tells it from its siblings: ``s3``."""
        return self.id.split("-", 1)[1]


def create(root: Path, product: str, *, like: str, title: str) -> NewProduct:
    """Write a product as a copy of another one: code, example answers, README, seed code of its own, and its entries.

    The layers of seed code that are the other product's alone are copied; those that products share are shared.

    Args:
        root: The repository.
        product: Id of the new product, e.g. ``train-athena``.
        like: Id of the product that it starts from.
        title: Name in Service Catalog.

    Raises:
        NewProductError: There is such a product or folder already, or no product `like`, or the id or title is not
            usable. Nothing is written then.
    """
    new, old = _Names(product), _Names(like)
    if not _ID.fullmatch(product):
        raise NewProductError(f"{product!r} is not a product id: use lower-case words with hyphens, e.g. train-athena.")
    source = root / "products" / old.folder
    if not (source / "product.py").is_file():
        known = sorted(path.parent.name.replace("_", "-") for path in (root / "products").glob("*/product.py"))
        raise NewProductError(f"there is no product {like!r} to start from. There are: {', '.join(known)}.")
    old_class, old_title = _class_and_title(source / "product.py")
    new_class = "".join(word[:1].upper() + word[1:] for word in product.split("-")) + "Product"
    if not title.strip() or '"' in title or "\\" in title:
        raise NewProductError(
            f"{title!r} is not a title: give the name that Service Catalog shows, e.g. Train on a table."
        )
    files: dict[Path, bytes] = {}
    swap = {old_class: new_class, old_title: title, f"products.{old.folder}": f"products.{new.folder}", like: product}
    for name in ("__init__.py", "product.py", ANSWERS, "README.md"):
        files[Path("products", new.folder, name)] = _replaced((source / name).read_text(encoding="utf-8"), swap)
    files[Path("products", new.folder, "CHANGELOG.md")] = f"# Changes of {title}\n".encode()
    layers: dict[str, str] = {}
    template = root / "seed-code" / "templates" / f"{like}.toml"
    if template.is_file():
        layers = _own_layers(root, old, new)
        swap |= {f'"{theirs}"': f'"{own}"' for own, theirs in layers.items()}
        files[Path("seed-code/templates", f"{product}.toml")] = _replaced(template.read_text(encoding="utf-8"), swap)
        for own, theirs in layers.items():
            folder = root / "seed-code" / "layers" / theirs
            for path in seed_code.layer_files(folder):
                files[Path("seed-code/layers", own, path.relative_to(folder))] = path.read_bytes()
    taken = sorted({path.parts[: 2 if path.parts[0] == "products" else 3] for path in files if (root / path).exists()})
    if taken:
        raise NewProductError(f"{'/'.join(taken[0])} exists already: choose another id, or remove it.")
    changes = {
        _CATALOG: _listed((root / _CATALOG).read_text(encoding="utf-8"), new.folder, new_class),
        _PORTFOLIOS: _offered((root / _PORTFOLIOS).read_text(encoding="utf-8"), product, like),
    }
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for path, text in changes.items():
        (root / path).write_text(text, encoding="utf-8")
    return NewProduct(made=tuple(sorted(files)), changed=tuple(changes), layers=layers)


def _class_and_title(path: Path) -> tuple[str, str]:
    """Return the name of the class with the ``SPEC``, and the title in it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for call in (found for found in ast.walk(node) if isinstance(found, ast.Call)):
                if isinstance(call.func, ast.Name) and call.func.id == "ProductSpec":
                    titles = [word.value for word in call.keywords if word.arg == "title"]
                    if titles and isinstance(titles[0], ast.Constant):
                        return node.name, str(titles[0].value)
    raise NewProductError(f"{path} has no class with a ProductSpec and a title, so it cannot be copied.")


def _replaced(text: str, swap: dict[str, str]) -> bytes:
    """Return a text with names in place of others, the longest first; a word that only begins like one stays."""
    found = re.compile("|".join(re.escape(old) + r"(?![\w-])" for old in sorted(swap, key=len, reverse=True)))
    return found.sub(lambda match: swap[match.group()], text).encode()


def _own_layers(root: Path, old: _Names, new: _Names) -> dict[str, str]:
    """Return the layers that are named after the other product's kind: new name and old name."""
    template = f"{old.id}"
    named = re.compile(rf"(.*-)?{re.escape(old.kind)}")
    theirs = [layer for layer in seed_code.layers(template, root=root / "seed-code") if named.fullmatch(layer)]
    return {layer.removesuffix(old.kind) + new.kind: layer for layer in theirs}


def _listed(text: str, folder: str, class_: str) -> str:
    """Return products/catalog.py with one more product, in the order in which ruff and people want it."""
    pattern = re.compile(r"^from products\.\w+\.product import \w+\n", re.MULTILINE)
    imports = sorted({*pattern.findall(text), f"from products.{folder}.product import {class_}\n"})
    first = pattern.search(text)
    listed = re.search(r"^PRODUCTS: Final = \(([^)]*)\)$", text, re.MULTILINE)
    if first is None or listed is None:
        raise NewProductError(f"{_CATALOG} has no imports of products and no line PRODUCTS: Final = (...) to add to.")
    classes = sorted({*re.findall(r"\w+", listed[1]), class_})
    line = f"PRODUCTS: Final = ({', '.join(classes)})"
    if len(line) > _LINE:
        line = "PRODUCTS: Final = (\n" + textwrap.indent("".join(f"{c},\n" for c in classes), "    ") + ")"
    text = text.replace(listed[0], line)
    start = first.start()
    return text[:start] + "".join(imports) + pattern.sub("", text[start:])


def _offered(text: str, product: str, like: str) -> str:
    """Return portfolios/catalog.py with the product in every portfolio that offers the other one."""
    alone = text.replace(f'("{like}",)', f'("{like}", "{product}")')
    offered = alone if alone != text else text.replace(f'"{like}"', f'"{like}", "{product}"')
    if offered == text:
        raise NewProductError(f"{_PORTFOLIOS} offers {like} in no portfolio, so it is unknown where {product} belongs.")
    return offered


def steps(product: NewProduct, id_: str) -> Iterator[str]:
    """Yield what a person edits next, one line each."""
    folder = id_.replace("-", "_")
    yield f"products/{folder}/product.py: what the form asks, what the product makes, its summary"
    yield f"products/{folder}/{ANSWERS}: example answers, from which all tests launch it"
    yield f"products/{folder}/README.md: what its users read"
    for own, theirs in product.layers.items():
        yield f"seed-code/layers/{own}: a copy of {theirs}; seed-code/README.md says what it has to provide"

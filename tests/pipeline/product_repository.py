"""A git repository with one small product, for tests of releases."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from click.testing import CliRunner, Result

from pipeline.cli import portfolio

ROOT: Final = Path(__file__).resolve().parents[2]
COMMIT_DATE: Final = "2026-03-01T10:30:00+01:00"

PRODUCT: Final = """
import hashlib

from aws_cdk import CfnOutput, CfnParameter, CfnResource, aws_servicecatalog as servicecatalog
from products.shared import names, seed_code
from products.shared.spec import ProductSpec


class TinyProduct(servicecatalog.ProductStack):
    SPEC = ProductSpec(id="tiny", title="Tiny project", summary="A bucket with seed code.", seed_code="tiny")

    def __init__(self, scope, id_):
        super().__init__(scope, id_, description="Tiny")
        name = CfnParameter(self, "Name", allowed_pattern="^[a-z]{1,10}$", description="e.g. churn")
        digest = hashlib.sha256(seed_code.archive("tiny")).hexdigest()
        properties = {"BucketName": f"tiny-{name.value_as_string}"}
        bucket = CfnResource(self, "Bucket", type="AWS::S3::Bucket", properties=properties)
        CfnResource(
            self,
            "Seed",
            type="Custom::SeedCode",
            properties={
                "ServiceToken": names.SEED_CHECKIN_FUNCTION,
                "AssetBucket": "{{resolve:ssm:/ml-platform/v1/artifact-bucket}}",
                "AssetKey": f"assets/{digest}.zip",
                "Version": names.UNRELEASED,
            },
        )
        CfnOutput(self, "BucketName", value=bucket.ref)
"""

CATALOG: Final = "from products.tiny.product import TinyProduct\n\nPRODUCTS = (TinyProduct,)\n"


class ProductRepository:
    """A repository whose only product, ``tiny``, is a bucket and two files of seed code.

    Args:
        root: Folder to make it in, or to clone it to.
        origin: Repository to clone. Default: a new one.
    """

    def __init__(self, root: Path, *, origin: ProductRepository | None = None) -> None:
        self.root = root
        self.releases = root / "products" / "tiny" / "releases"
        if origin:
            subprocess.run(["git", "clone", "-q", str(origin.root), str(root)], check=True)
            return
        self.write("products/__init__.py", "")
        self.write("products/catalog.py", CATALOG)
        self.write("products/tiny/__init__.py", "")
        self.write("products/tiny/product.py", PRODUCT)
        self.write("seed-code/templates/tiny.toml", 'layers = ["base"]\n')
        self.write("seed-code/layers/base/README.md", "# Seed\n")
        self.write("seed-code/layers/base/run.sh", "#!/bin/sh\necho run\n")
        self.write(".gitignore", "__pycache__/\nbuild/\n*.local\n")
        (root / "products" / "shared").mkdir()
        shared = [f"shared/{module}.py" for module in ("__init__", "names", "spec", "seed_code")]
        for module in ("releases.py", "semver.py", *shared):
            shutil.copy(ROOT / "products" / module, root / "products" / module)
        self.git("init", "-q", "-b", "main")
        self.commit()

    def write(self, path: str, content: str) -> None:
        """Write a file, folders included."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that occurs in a file."""
        content = (self.root / path).read_text(encoding="utf-8")
        assert old in content
        self.write(path, content.replace(old, new))

    def git(self, *arguments: str) -> str:
        """Run git with a fixed identity and date."""
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_DATE": COMMIT_DATE,
            "GIT_COMMITTER_DATE": COMMIT_DATE,
        }
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        command = ["git", *identity, "-C", str(self.root), *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "Change")

    def portfolio(self, *arguments: str) -> Result:
        """Run the command line on this repository."""
        return CliRunner().invoke(portfolio, ["--root", str(self.root), *arguments])

    def contents(self, version: str) -> dict[str, bytes]:
        """Return the files of a release."""
        return {path.name: path.read_bytes() for path in sorted((self.releases / version).iterdir())}

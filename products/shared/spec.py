"""What the catalog knows of a product besides its template."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ProductSpec:
    """Identity of a product, the same in every version.

    Attributes:
        id: Kebab-case id, equal to the folder name with hyphens, e.g. ``train-s3``.
        title: Name shown in Service Catalog, e.g. ``Train on S3 data``.
        summary: One or two sentences for the product list of the console.
        seed_code: Seed-code template of the product, or None when it carries none.
    """

    id: str
    title: str
    summary: str
    seed_code: str | None = None

    @property
    def folder(self) -> str:
        """Folder below ``products/``, e.g. ``train_s3``."""
        return self.id.replace("-", "_")

"""The `portfolio` command: release products, and see what is released and published."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.output import (
    print_diff,
    print_findings,
    print_json,
    print_table,
    progress_bar,
    quantity,
    size_text,
    working,
)
from products.releases import ReleaseError, load_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from foundation.settings import HubSettings
    from portfolios.catalog import PortfolioSpec
    from products.releases import Release

# What one command alone needs is imported in it: CDK, boto3 and cfn-lint take up to seconds to load, and `list` and
# `verify` run in every pre-commit.
# ruff: noqa: PLC0415


def _examples(*lines: str) -> str:
    """Return the examples at the end of a help text; the backspace keeps click from wrapping the lines after it."""
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])


class _Group(click.Group):
    """A group whose commands say what is wrong in plain words instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a `ReleaseError` becomes its message on stderr and exit code 1."""
        try:
            return super().invoke(ctx)
        except ReleaseError as err:
            raise click.ClickException(str(err)) from err


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_examples(
        "portfolio diff train-s3                          what would change, and the smallest version step",
        'portfolio release train-s3 1.4.0 -m "Adds …"     write the release; then commit and push it',
        'portfolio retire train-s3 1.0.0 --reason "Use …" allow no new launches of an old version',
    ),
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Repository to work on. Default: the one that holds the current folder.",
)
@click.pass_context
def portfolio(ctx: click.Context, root: Path | None) -> None:
    """Release versions of the products in this repository, and check what is released and published.

    A release is a folder products/PRODUCT/releases/VERSION/ that never changes once committed; the pipeline publishes
    releases and nothing else.
    """
    ctx.obj = _find_root() if root is None else root.resolve()


@portfolio.command("list", short_help="List products, versions and portfolios.", epilog=_examples("portfolio list"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(root: Path, *, as_json: bool) -> None:
    """List products, their versions, whether each can be launched, and the portfolio they are in."""
    catalog = load_catalog(root)
    portfolios = _portfolios(root)

    def titles(product_id: str) -> list[str]:
        return [entry.title for entry in portfolios if product_id in entry.products]

    if as_json:
        products = [
            {
                "id": product.id,
                "title": product.title,
                "summary": product.summary,
                "portfolios": titles(product.id),
                "versions": [_version_json(release, root) for release in product.versions],
            }
            for product in catalog.products.values()
        ]
        products += [{"id": id_, "portfolios": titles(id_), "versions": []} for id_ in catalog.unreleased]
        return print_json({"products": products})
    rows = [
        (product.id, str(release.version), release.date[:10], ", ".join(titles(product.id)) or "none", _state(release))
        for product in catalog.products.values()
        for release in reversed(product.versions)
    ]
    rows += [(id_, "", "", ", ".join(titles(id_)) or "none", "no release yet") for id_ in catalog.unreleased]
    print_table(("PRODUCT", "VERSION", "RELEASED", "PORTFOLIO", "STATE"), rows)
    return None


@portfolio.command(
    "new",
    short_help="Write a product that starts as a copy of another.",
    epilog=_examples('portfolio new train-athena --like train-s3 --title "Train on an Athena query"'),
)
@click.argument("product")
@click.option("--like", required=True, help="Product to start from.")
@click.option("--title", required=True, help="Name that Service Catalog shows.")
@click.pass_obj
def new(root: Path, product: str, like: str, title: str) -> None:
    """Write a product that starts as a copy of another one, and passes every check as it is.

    Its code, example answers and README, and the layers of seed code that are the other product's alone, are copied;
    the layers that products share are shared. It is added to the catalog, and to the portfolios of the other one.
    """
    from pipeline.new_product import create, steps

    made = create(root, product, like=like, title=title)
    click.echo(f"{product}: {quantity(len(made.made), 'file')} written, {quantity(len(made.changed), 'file')} changed")
    for path in (*made.made, *made.changed):
        click.echo(f"  {'~' if path in made.changed else '+'} {path.as_posix()}")
    click.echo("\nEdit next:")
    for step in steps(made, product):
        click.echo(f"  {step}")
    click.echo(f'\nThen commit, and release it: portfolio release {product} 1.0.0 -m "..."')


@portfolio.command(
    "diff", short_help="Show what the working tree would change.", epilog=_examples("portfolio diff train-s3")
)
@click.argument("product")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def diff_(root: Path, product: str, *, as_json: bool) -> None:
    """Show what the working tree would change in PRODUCT against its latest release.

    Ends with the smallest version step that these changes allow, and why. Nothing is written.
    """
    from pipeline.diff import compare
    from pipeline.freezing import base_of
    from pipeline.synthesis import candidate_of_working_tree

    catalog = load_catalog(root)
    catalog.check_known(product)
    base = base_of(catalog.products.get(product))
    with working(f"synthesising {product}"):
        candidate = candidate_of_working_tree(root, product)
    if base is None:
        if as_json:
            return print_json({"product": product, "base": None, "step": None, "next": None, "changes": []})
        sections = {name: len(candidate.template.get(name, {})) for name in ("Parameters", "Resources", "Outputs")}
        counts = ", ".join(quantity(count, name.lower().removesuffix("s")) for name, count in sections.items())
        click.echo(f"{product} has no release yet, so everything is new: {counts}.")
        click.echo(f'Any version may be its first, e.g. `portfolio release {product} 1.0.0 -m "First version"`.')
        return None
    found = compare(base, candidate)
    if as_json:
        following = str(base.version.after(found.step)) if found.changes else None
        changes = [change.as_json() for change in found.changes]
        return print_json(
            {
                "product": product,
                "base": str(base.version),
                "step": str(found.step),
                "next": following,
                "changes": changes,
            }
        )
    print_diff(product, base, found)
    if found.changes:
        smallest = base.version.after(found.step)
        click.echo(f'Next: commit the change, then `portfolio release {product} {smallest} -m "What is new"`.')
    return None


@portfolio.command(
    short_help="Freeze a product as a new version.",
    epilog=_examples('portfolio release train-s3 1.4.0 -m "Adds a schedule for retraining."'),
)
@click.argument("product")
@click.argument("version")
@click.option("-m", "--message", required=True, metavar="TEXT", help="What is new, for the people who launch it.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be written, and write nothing.")
@click.pass_obj
def release(root: Path, product: str, version: str, message: str, *, dry_run: bool) -> None:
    """Freeze PRODUCT, as it is in the current commit, as VERSION.

    Writes products/PRODUCT/releases/VERSION/ and an entry in the product's CHANGELOG.md; commit both and push. Refused
    if the version exists or comes before a released one, if its step is smaller than `portfolio diff` demands, if files
    of the product are not committed, or if nothing has changed.
    """
    from pipeline.freezing import plan_release

    with working(f"synthesising {product}"):
        plan = plan_release(load_catalog(root), product, version, message)
    if plan.base and plan.diff:
        print_diff(product, plan.base, plan.diff)
        click.echo()
    if not dry_run:
        plan.write(root)
    click.echo(f"{'Would write' if dry_run else 'Wrote'} {product} {plan.version}:")
    for name, content in plan.files.items():
        click.echo(f"  {plan.folder.relative_to(root) / name}  {size_text(len(content))}")
    click.echo(f"  {plan.changelog_path.relative_to(root)}")
    if not dry_run:
        folder = plan.changelog_path.parent.relative_to(root)
        click.echo(f'Next: git add {folder} && git commit -m "Release {product} {plan.version}", then push.')


@portfolio.command(
    short_help="Check that releases are as they were released.",
    epilog=_examples("portfolio verify", "portfolio verify --against origin/main"),
)
@click.option("--against", metavar="REV", help="Also prove that nothing released in this git revision has changed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def verify(root: Path, against: str | None, *, as_json: bool) -> None:
    """Check that every released file is exactly what was released and works in any account.

    Compares digests and sizes, looks for missing and stray files, and for anything in a template that belongs to one
    account, region or organisation. Exit code 1 with a sentence per problem.
    """
    from pipeline.verification import problems_of_catalog, problems_since

    with working("verifying releases"):
        catalog = load_catalog(root)
        problems = list(problems_of_catalog(catalog))
        problems += problems_since(catalog, against) if against else ()
    releases = catalog.releases()
    if as_json:
        print_json({"ok": not problems, "releases": len(releases), "problems": problems})
    else:
        for problem in problems:
            click.echo(problem, err=True)
        files = sum(len(entry.files) for entry in releases)
        since = f", nothing rewritten since {against}" if against else ""
        outcome = quantity(len(problems), "problem") if problems else f"all as released{since}"
        click.echo(f"{quantity(len(releases), 'release')} with {quantity(files, 'file')}: {outcome}.")
    if problems:
        sys.exit(1)


@portfolio.command(
    short_help="Deprecate a version, or hide it.",
    epilog=_examples('portfolio retire train-s3 1.0.0 --reason "Use 1.1.0: it retries failed builds."'),
)
@click.argument("product")
@click.argument("version")
@click.option("--reason", required=True, metavar="TEXT", help="Why, and what to use instead.")
@click.option("--hide", is_flag=True, help="Let nobody see the version any more: no launches, no updates to it.")
@click.pass_obj
def retire(root: Path, product: str, version: str, reason: str, *, hide: bool) -> None:
    """Deprecate VERSION of PRODUCT: no new launches, but what was launched before can still be updated to it.

    With --hide nobody sees it any more. Writes products/PRODUCT/releases/status.json; the release itself stays as it
    is, and what was launched from it keeps working. To take it back, revert the change of that file.
    """
    from pipeline.freezing import retire as retire_

    path = retire_(load_catalog(root), product, version, hide=hide, reason=reason)
    effect = "will be hidden from everybody" if hide else "will be deprecated: no new launches, updates to it go on"
    click.echo(f"{product} {version} {effect}. Commit {path.relative_to(root)} and push.")


@portfolio.command(
    short_help="Upload releases to the hub's artifact bucket.",
    epilog=_examples("portfolio upload --bucket ml-platform-artifacts-111122223333-eu-west-1 --region eu-west-1"),
)
@click.option("--bucket", required=True, help="The hub's artifact bucket in that region.")
@click.option("--region", help="Region of the bucket. Default: the region of the AWS configuration.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def upload(root: Path, bucket: str, region: str | None, *, as_json: bool) -> None:
    """Upload what accounts need to the artifact bucket: released templates, seed code, functions of the baseline.

    What is there already is left alone; nothing is overwritten or deleted. It is an error if the bucket holds something
    else under the name of a released file, or a release that this repository no longer has. Run by the pipeline, once
    per region.
    """
    import boto3
    from botocore.config import Config

    from lambdas.bundling import bundles
    from pipeline.upload import WORKERS, upload_all, uploads

    wanted = uploads(load_catalog(root), bundles(root=root))
    with _asking_aws(), progress_bar("uploading", len(wanted)) as advance:
        config = Config(max_pool_connections=WORKERS, retries={"mode": "standard"})
        outcomes = upload_all(boto3.client("s3", region_name=region, config=config), bucket, wanted, done=advance)
    if as_json:
        keys = {
            state: [key for key, outcome in outcomes.items() if outcome == state] for state in ("uploaded", "present")
        }
        return print_json({"bucket": bucket, **keys})
    new = [entry for entry in wanted if outcomes[entry.key] == "uploaded"]
    for entry in new:
        click.echo(f"  {entry.key}  {entry.what}  {size_text(len(entry.content))}")
    click.echo(
        f"Uploaded {quantity(len(new), 'object')} to s3://{bucket}; {len(wanted) - len(new)} were there already."
    )
    return None


@portfolio.command(
    "check-published",
    short_help="Check that the hub publishes what is released.",
    epilog=_examples("portfolio check-published --region eu-west-1"),
)
@click.option("--region", help="Region to check. Default: the region of the AWS configuration.")
@click.option("--ou", metavar="ID", help="Unit the portfolios are shared with. Default: workloads_ou_id of cdk.json.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check_published(root: Path, region: str | None, ou: str | None, *, as_json: bool) -> None:
    """Check in the hub account that the catalog is published as this repository says.

    Every portfolio exists and is shared with the workloads unit (or with none, if it is for the hub alone), every
    product is in it with a launch constraint, every version has the right state, and every account has its baseline.
    Exit code 1 with a sentence per deviation. Only reads. Run by the pipeline.
    """
    import boto3

    from pipeline.baselines import missing_baselines
    from pipeline.published import check_published as check

    catalog, unit = load_catalog(root), ou or _settings(root, "\nOr name the unit with --ou.").workloads_ou_id
    with _asking_aws(), working("asking Service Catalog"):
        found = check(boto3.client("servicecatalog", region_name=region), catalog, _portfolios(root), ou_id=unit)
        deviations = [*found.deviations, *missing_baselines(boto3.client("cloudformation", region_name=region))]
    if as_json:
        rows = [vars(row) for row in found.rows]
        print_json({"ok": not deviations, "versions": rows, "deviations": deviations})
    else:
        print_table(
            ("PORTFOLIO", "PRODUCT", "VERSION", "WANTED", "PUBLISHED"),
            [
                (row.portfolio, row.product, row.version, row.wanted, "as wanted" if row.is_right else "NOT as wanted")
                for row in found.rows
            ],
        )
        for deviation in deviations:
            click.echo(deviation, err=True)
    if deviations:
        sys.exit(1)


@portfolio.command(
    short_help="Check what an account still lacks.",
    epilog=_examples("portfolio preflight", "AWS_PROFILE=ml-dev portfolio preflight"),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def preflight(root: Path, *, as_json: bool) -> None:
    """Check whether the account of the current credentials has everything that the platform needs of it.

    The settings in cdk.json say what the account is for: the hub, a deployment account, or else a workload account.
    Prints what is missing with the command that corrects it. Exit code 1 if something is missing. Only reads: AWS's
    managed policy ReadOnlyAccess suffices. What no call can tell (e.g. branch protection) is in docs/setup.md.
    """
    import boto3

    from pipeline.preflight import Account, examine, kind_of

    settings = _settings(root)
    session = boto3.session.Session()
    with _asking_aws(), working("asking AWS"):
        me = session.client("sts", region_name=settings.home_region).get_caller_identity()["Account"]
        account = Account(
            kind=kind_of(me, settings),
            id=me,
            settings=settings,
            portfolios=_portfolios(root),
            client=cache(lambda service, region: session.client(service, region_name=region)),
        )
        findings = list(examine(account))
    missing = [finding for finding in findings if finding.state == "missing"]
    if as_json:
        rows = [{**vars(finding), "problems": [vars(problem) for problem in finding.problems]} for finding in findings]
        print_json({"account": me, "kind": account.kind, "ok": not missing, "findings": rows})
    else:
        click.echo(f"Account {me} as {account.kind} account of the hub {settings.account_id}\n")
        print_findings(findings)
    if missing:
        sys.exit(1)


def _find_root() -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "products").is_dir() and (folder / ".git").exists():
            return folder
    raise click.UsageError(
        f"{here} is not inside a product repository (a git checkout with a products folder). Change into one, or name "
        f"it with --root."
    )


def _portfolios(root: Path) -> Sequence[PortfolioSpec]:
    """Return the portfolios of that repository, which need not be the installed one."""
    path = root / "portfolios" / "catalog.py"
    if not path.is_file():
        return ()
    spec = importlib.util.spec_from_file_location("_portfolios_of_root", path)
    if spec is None or spec.loader is None:
        raise click.ClickException(f"{path} cannot be read as Python, so the portfolios are unknown.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    portfolios: Sequence[PortfolioSpec] = module.PORTFOLIOS
    return portfolios


def _settings(root: Path, advice: str = "") -> HubSettings:
    from foundation.settings import HubSettings, SettingsError

    path = root / "cdk.json"
    try:
        return HubSettings.parse(json.loads(path.read_bytes())["context"].get("hub"))
    except (OSError, ValueError, KeyError, SettingsError) as err:
        raise click.ClickException(f"the settings in {path} cannot be used: {err}{advice}") from err


@contextlib.contextmanager
def _asking_aws() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as err:
        raise click.ClickException(
            f"The request to AWS failed: {err}\nCheck the credentials and the region (AWS_PROFILE, AWS_DEFAULT_REGION, "
            f"or --region if the command has it)."
        ) from err


def _version_json(release: Release, root: Path) -> dict[str, Any]:
    return {
        "version": str(release.version),
        "description": release.description,
        "date": release.date,
        "guidance": release.guidance,
        "active": release.active,
        "reason": release.reason,
        "contract": release.contract,
        "baseline": release.baseline,
        "path": release.path.relative_to(root).as_posix(),
        "template_key": release.template_key,
        "archive_key": release.archive_key,
    }


def _state(release: Release) -> str:
    if not release.active:
        return f"hidden: {release.reason}"
    return "supported" if release.guidance == "DEFAULT" else f"deprecated: {release.reason}".rstrip(": ")

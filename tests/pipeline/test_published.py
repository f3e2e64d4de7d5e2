from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from click.testing import CliRunner

from pipeline import cli
from pipeline.baselines import STACK_SETS, missing_baselines
from pipeline.published import PERMISSIONS, Published, check_published
from portfolios.catalog import PortfolioSpec
from products.releases import Catalog, Guidance, Release, ReleasedProduct
from products.semver import Version

if TYPE_CHECKING:
    from collections.abc import Callable

Client = Any  # boto3 makes the classes of its clients and models at run time

OU = "ou-exmp-workloads1"
PROJECTS = PortfolioSpec(
    id="projects",
    title="Projects",
    description="Projects.",
    products=("tiny", "unreleased"),
    personas=("data-scientist",),
    tag_options={},
)


def release(version: str, *, guidance: Guidance = "DEFAULT", active: bool = True) -> Release:
    return Release(
        product="tiny",
        title="Tiny project",
        summary="",
        version=Version.parse(version),
        description="",
        date="",
        guidance=guidance,
        active=active,
        reason="" if active else "It loses data.",
        contract=1,
        seed_code=None,
        tools={},
        files={},
        path=Path(),
    )


@dataclass
class Account:
    """What Service Catalog holds in the hub; as the repository wants it unless a test changes it.

    Requests go through a real boto3 client, so that botocore checks their parameters, and are answered from here.
    """

    portfolios: list[dict[str, Any]] = field(default_factory=lambda: [{"Id": "port-1", "DisplayName": "Projects"}])
    shares: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"PrincipalId": OU, "Accepted": True, "SharePrincipals": True, "ShareTagOptions": True}
        ]
    )
    principals: list[dict[str, Any]] = field(default_factory=lambda: [{"PrincipalARN": "role", "PrincipalType": "IAM"}])
    products: list[dict[str, Any]] = field(
        default_factory=lambda: [{"ProductViewSummary": {"Name": "Tiny project", "ProductId": "prod-1"}}]
    )
    constraints: list[dict[str, Any]] = field(default_factory=lambda: [{"Type": "LAUNCH"}])
    artifacts: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"Id": "pa-1", "Name": "1.0.0", "Active": True, "Guidance": "DEPRECATED"},
            {"Id": "pa-2", "Name": "1.1.0", "Active": False, "Guidance": "DEPRECATED"},
            {"Id": "pa-3", "Name": "2.0.0", "Active": True, "Guidance": "DEFAULT"},
        ]
    )

    called: set[str] = field(default_factory=set)

    def client(self) -> Client:
        client = boto3.client(
            "servicecatalog", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        client.meta.events.register("before-call.servicecatalog", self._answer)
        return client

    def _answer(self, model: Client, params: dict[str, Any], **_: object) -> tuple[Any, dict[str, Any]]:
        request = json.loads(params["body"])
        operation = model.name
        self.called.add(operation)
        key, items = {
            "ListPortfolios": ("PortfolioDetails", self.portfolios),
            "DescribePortfolioShares": ("PortfolioShareDetails", self.shares),
            "ListPrincipalsForPortfolio": ("Principals", self.principals),
            "SearchProductsAsAdmin": ("ProductViewDetails", self.products),
            "ListConstraintsForPortfolio": ("ConstraintDetails", self.constraints),
            "ListProvisioningArtifacts": ("ProvisioningArtifactDetails", self.artifacts),
        }[operation]
        http = type("Http", (), {"status_code": 200})
        if operation == "ListProvisioningArtifacts":  # not paged
            return http, {key: items}
        start = int(request.get("PageToken", 0))  # one item a page, so that every list is read to its end
        more = {"NextPageToken": str(start + 1)} if start + 1 < len(items) else {}
        return http, {key: items[start : start + 1], **more}


def check(account: Account, portfolio: PortfolioSpec = PROJECTS) -> Published:
    versions = (
        release("1.0.0", guidance="DEPRECATED"),
        release("1.1.0", guidance="DEPRECATED", active=False),
        release("2.0.0"),
    )
    product = ReleasedProduct(id="tiny", title="Tiny project", summary="", versions=versions)
    catalog = Catalog(root=Path(), products={"tiny": product}, unreleased=("unreleased",))
    return check_published(account.client(), catalog, [portfolio], ou_id=OU)


def test_an_account_as_the_repository_says_has_no_deviation() -> None:
    found = check(Account())
    assert found.deviations == ()
    assert [(row.version, row.wanted, row.is_right) for row in found.rows] == [
        ("1.0.0", "deprecated", True),
        ("1.1.0", "hidden", True),
        ("2.0.0", "supported", True),
    ]


def test_the_check_calls_what_its_permissions_name() -> None:
    account = Account()
    check(account)
    assert account.called == {action for actions in PERMISSIONS.values() for action in actions}


def test_a_recipient_given_as_an_arn_is_recognised_among_others() -> None:
    account = Account()
    ours = {**account.shares[0], "PrincipalId": f"arn:aws:organizations::111122223333:ou/o-exampleorgid/{OU}"}
    account.shares = [{"PrincipalId": "ou-exmp-another001", "Accepted": True}, ours]
    assert check(account).deviations == ()


def test_a_portfolio_for_the_hub_alone_is_right_when_nobody_else_sees_it() -> None:
    for_the_hub, account = dataclasses.replace(PROJECTS, shared=False), Account()
    (sentence,) = check(account, for_the_hub).deviations
    assert f"'Projects' is shared with {OU}, but it is for the hub alone" in sentence
    account.shares = []
    assert check(account, for_the_hub).deviations == ()
    account.principals = []
    (sentence,) = check(account, for_the_hub).deviations
    assert "has no principals" in sentence


def edit(name: str, value: object) -> Callable[[Account], None]:
    return lambda account: setattr(account, name, value)


def artifact(index: int, **changes: object) -> Callable[[Account], None]:
    return lambda account: account.artifacts[index].update(changes)


def share(**changes: object) -> Callable[[Account], None]:
    return lambda account: account.shares[0].update(changes)


@pytest.mark.parametrize(
    ("break_it", "sentence", "wrong"),
    [
        (edit("portfolios", []), "Portfolio 'Projects': it does not exist", ["1.0.0", "1.1.0", "2.0.0"]),
        (
            lambda account: account.portfolios.append({"Id": "port-2", "DisplayName": "Projects"}),
            "there are 2 with that name (port-1, port-2)",
            ["1.0.0", "1.1.0", "2.0.0"],
        ),
        (edit("shares", []), f"is not shared with {OU}", []),
        (share(Accepted=False), "not accepted", []),
        (share(SharePrincipals=False), "without its principals", []),
        (share(ShareTagOptions=False), "without its TagOptions", []),
        (edit("principals", []), "has no principals", []),
        (edit("products", []), "it is not in the portfolio, which holds nothing", ["1.0.0", "1.1.0", "2.0.0"]),
        (edit("constraints", [{"Type": "TEMPLATE"}]), "it has no launch constraint", ["1.0.0", "1.1.0", "2.0.0"]),
        (lambda account: account.artifacts.pop(), "version 2.0.0: it does not exist", ["2.0.0"]),
        (artifact(1, Name="2.0.0"), "version 2.0.0: it exists 2 times (pa-2, pa-3)", ["1.1.0", "2.0.0"]),
        (artifact(2, Active=False), "version 2.0.0: it is hidden", ["2.0.0"]),
        (artifact(1, Active=True), "users still see it, but the repository hides it: It loses data.", ["1.1.0"]),
        (artifact(0, Guidance="DEFAULT"), "its guidance is DEFAULT, but the repository says DEPRECATED", ["1.0.0"]),
        (
            lambda account: account.artifacts.append({"Id": "pa-4", "Name": "by hand"}),
            "version by hand is not a release of this repository",
            [],
        ),
    ],
)
def test_each_deviation_is_told_in_a_sentence(
    break_it: Callable[[Account], None], sentence: str, wrong: list[str]
) -> None:
    account = Account()
    break_it(account)
    found = check(account)
    assert sentence in "\n".join(found.deviations)
    assert [row.version for row in found.rows if not row.is_right] == wrong


# ---- accounts without the baseline ----


def instance(status: str, **more: str) -> dict[str, Any]:
    return {
        "Account": "222233334444",
        "Region": "eu-west-1",
        "StackInstanceStatus": {"DetailedStatus": status},
        **more,
    }


def stack_sets(instances: list[dict[str, Any]]) -> Client:
    """A client for CloudFormation that lists the same instances of every StackSet."""
    client = boto3.client("cloudformation", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    http = type("Http", (), {"status_code": 200})
    client.meta.events.register("before-call.cloudformation", lambda **_: (http, {"Summaries": instances}))
    return client


@pytest.mark.parametrize("status", ["SUCCEEDED", "PENDING", "RUNNING", "SKIPPED_SUSPENDED_ACCOUNT"])
def test_an_account_about_which_nobody_has_to_do_anything_is_not_named(status: str) -> None:
    assert list(missing_baselines(stack_sets([instance(status)]))) == []


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "INOPERABLE"])
def test_an_account_whose_baseline_failed_is_named_for_each_stack_set(status: str) -> None:
    found = list(missing_baselines(stack_sets([instance("SUCCEEDED"), instance(status, StatusReason="why")])))
    assert [("222233334444" in sentence, status in sentence, "why" in sentence) for sentence in found] == [
        (True, True, True)
    ] * len(STACK_SETS)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a portfolio, a product that has no release, and no settings."""
    (tmp_path / "products").mkdir()
    (tmp_path / "portfolios").mkdir()
    lines = (
        "from types import SimpleNamespace",
        "PORTFOLIOS = (SimpleNamespace(id='p', title='Projects', products=(), shared=True),)",
    )
    (tmp_path / "portfolios" / "catalog.py").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_the_command_fails_when_anything_deviates(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account, instances = Account(), [instance("SUCCEEDED")]
    clients = {"servicecatalog": account.client(), "cloudformation": stack_sets(instances)}
    monkeypatch.setattr(boto3, "client", lambda service, **_: clients[service])
    arguments = ["--root", str(repository), "check-published", "--ou", OU]
    assert CliRunner().invoke(cli.portfolio, arguments).exit_code == 0
    instances += [instance("FAILED", StatusReason="a quota is reached")]
    failed = CliRunner().invoke(cli.portfolio, arguments)
    assert failed.exit_code == 1
    assert "Account 222233334444, eu-west-1: ml-platform-baseline is FAILED" in failed.stderr
    assert "a quota is reached" in failed.stderr
    instances.pop()
    account.shares = []
    failed = CliRunner().invoke(cli.portfolio, arguments)
    assert failed.exit_code == 1
    assert f"Portfolio 'Projects' is not shared with {OU}" in failed.stderr
    machine = CliRunner().invoke(cli.portfolio, [*arguments, "--json"])
    assert (machine.exit_code, json.loads(machine.stdout)["ok"]) == (1, False)


def test_without_settings_the_command_asks_for_the_unit(repository: Path) -> None:
    result = CliRunner().invoke(cli.portfolio, ["--root", str(repository), "check-published"])
    assert result.exit_code == 1
    assert "Or name the unit with --ou." in result.stderr

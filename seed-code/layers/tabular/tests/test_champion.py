import dataclasses
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from tabular_jobs import Project, evaluated, pack, shop_config, shop_records

from tabular import champion
from tabular.comparison import Champion, compare
from tabular.errors import ConfigError
from tabular.model import targets
from tabular.splits import load_split

pytestmark = pytest.mark.slow

ARN = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/shop/7"


class Registry:
    """A registry and a bucket, answered by botocore's stubs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
        self._sagemaker = boto3.client("sagemaker", **keys)
        self.stub = Stubber(self._sagemaker)
        self.stub.activate()
        self.asked: list[tuple[str, str]] = []
        self._archive = archive
        monkeypatch.setattr(boto3, "Session", lambda **_: self)

    def client(self, service: str) -> Any:
        """Return the client of a service, as a session does."""
        return self._sagemaker if service == "sagemaker" else self

    def download_file(self, bucket: str, key: str, path: str) -> None:
        """Answer as the S3 client does."""
        self.asked.append((bucket, key))
        shutil.copy(self._archive, path)

    def list_page(self, *arns: str, token: str | None = None, sent_token: str | None = None) -> None:
        """Prepare one page of approved packages."""
        packages = [
            {
                "ModelPackageArn": arn,
                "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
                "ModelPackageStatus": "Completed",
                "ModelApprovalStatus": "Approved",
            }
            for arn in arns
        ]
        sent = {
            "ModelPackageGroupName": "shop",
            "ModelApprovalStatus": "Approved",
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
        }
        page: dict[str, Any] = {"ModelPackageSummaryList": packages} | ({"NextToken": token} if token else {})
        self.stub.add_response("list_model_packages", page, sent | ({"NextToken": sent_token} if sent_token else {}))

    def describe(self, **container: Any) -> None:
        """Prepare the description of the package."""
        image = "1.dkr.ecr.eu-west-1.amazonaws.com/x:1"
        answer = {
            "ModelPackageName": "shop",
            "ModelPackageArn": ARN,
            "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
            "InferenceSpecification": {"Containers": [{"Image": image} | container]},
        }
        self.stub.add_response("describe_model_package", answer, {"ModelPackageName": ARN})


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    archive = tmp_path / "approved.tar.gz"
    pack(evaluated("binary").folder / "train" / "model", archive)
    return Registry(monkeypatch, archive)


def test_the_latest_approved_package_is_downloaded_even_from_a_later_page(registry: Registry, tmp_path: Path) -> None:
    registry.list_page(token="more")
    registry.list_page(ARN, f"{ARN}-older", sent_token="more")
    registry.describe(ModelDataUrl="s3://bucket/some/key/model.tar.gz")
    found = champion.download_champion("shop", tmp_path / "champion")
    assert found == (ARN, tmp_path / "champion" / "model.tar.gz")
    assert registry.asked == [("bucket", "some/key/model.tar.gz")]
    registry.stub.assert_no_pending_responses()


def test_a_model_data_source_is_understood_too(registry: Registry, tmp_path: Path) -> None:
    registry.list_page(ARN)
    source = {"S3Uri": "s3://bucket/model.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"}
    registry.describe(ModelDataSource={"S3DataSource": source})
    champion.download_champion("shop", tmp_path / "champion")
    assert registry.asked == [("bucket", "model.tar.gz")]


def test_a_group_without_approved_package_has_no_champion(registry: Registry, tmp_path: Path) -> None:
    registry.list_page()
    assert champion.download_champion("shop", tmp_path) is None


@pytest.mark.parametrize(
    ("code", "message"),
    [("ValidationException", "ModelPackageGroup shop does not exist"), ("ResourceNotFound", "gone")],
)
def test_a_missing_group_has_no_champion(registry: Registry, tmp_path: Path, code: str, message: str) -> None:
    registry.stub.add_client_error("list_model_packages", code, message)
    assert champion.download_champion("shop", tmp_path) is None


def test_a_registry_that_may_not_be_read_stops_the_evaluation(registry: Registry, tmp_path: Path) -> None:
    registry.stub.add_client_error("list_model_packages", "AccessDeniedException", "not authorized")
    with pytest.raises(
        ConfigError, match=r"'shop' cannot be read.*not authorized.*sagemaker:ListModelPackages"
    ) as failure:
        champion.download_champion("shop", tmp_path)
    assert isinstance(failure.value.__cause__, ClientError)


def test_a_package_without_archive_is_refused(registry: Registry, tmp_path: Path) -> None:
    registry.list_page(ARN)
    registry.describe()
    with pytest.raises(ConfigError, match="names no model archive"):
        champion.download_champion("shop", tmp_path)


def again(folder: Path, **config: object) -> Project:
    """Return a project with the data of the approved model, trained anew."""
    project = Project(folder, shop_config("binary", **config))
    project.add_csv("shop.csv", shop_records())
    project.validate()
    project.prepare()
    project.train()
    return project


def test_the_same_model_again_is_not_worse(registry: Registry, tmp_path: Path) -> None:
    registry.list_page(ARN)
    registry.describe(ModelDataUrl="s3://bucket/model.tar.gz")
    report = again(tmp_path / "new").evaluate("--model-package-group", "shop")
    assert report["gate"]["champion_value"] == report["gate"]["value"]
    assert (report["gate"]["not_worse_than_champion"], report["gate"]["passed"]) == (1, 1)
    assert report["champion"]["model_package_arn"] == ARN
    assert report["champion"]["compared"] == 1


def test_a_worse_model_does_not_replace_the_approved_one(registry: Registry, tmp_path: Path) -> None:
    registry.list_page(ARN)
    registry.describe(ModelDataUrl="s3://bucket/model.tar.gz")
    project = again(tmp_path / "new", drop=["segment", "value", "spent", "visits"])
    gate = project.evaluate("--model-package-group", "shop")["gate"]
    assert (gate["not_worse_than_champion"], gate["better_than_prior"], gate["passed"]) == (0, 1, 0)
    assert f"the approved model reaches {gate['champion_value']:.4f}" in gate["reason"]


def compared(tmp_path: Path, folder: Path, **changes: Any) -> Champion:
    """Compare the model in a folder with the records of the shop, whose schema is changed."""
    archive = tmp_path / "model.tar.gz"
    pack(folder, archive)
    project = evaluated("binary")
    model = project.model()
    test = load_split(project.folder / "prepare" / "output" / "test", model.schema, model.config)
    truth = targets(test, model.schema)
    scores = model.scores(test)
    dropped = changes.pop("without", [])
    model = dataclasses.replace(model, schema=dataclasses.replace(model.schema, **changes))
    return compare(ARN, archive, tmp_path / "unpacked", model, test.drop(columns=dropped), truth, scores)


def test_only_records_that_the_approved_model_has_not_learned_from_count(tmp_path: Path) -> None:
    approved = again(tmp_path / "approved", seed=1)
    known = set(approved.split("train")["customer"]) | set(approved.split("validation")["customer"])
    today = evaluated("binary").split("test")
    result = compared(tmp_path, approved.folder / "train" / "model")
    assert 0 < result.rows < len(today)
    assert result.rows == len(set(today["customer"]) - known)
    assert result.note == f"scored on the {result.rows} test records it has not learned from"
    assert result.metrics["auc"] != result.challenger_metrics["auc"]


def test_a_new_column_does_not_hide_what_the_approved_model_has_learned(tmp_path: Path) -> None:
    approved = again(tmp_path / "approved", record_key=[])  # divided by all values of a record
    model = approved.model()
    test = approved.split("test")
    typed = load_split(approved.folder / "prepare" / "output" / "test", model.schema, model.config)
    pack(approved.folder / "train" / "model", tmp_path / "model.tar.gz")
    more = typed.assign(new=range(len(typed)))
    truth, scores = targets(typed, model.schema), model.scores(typed)
    result = compare(ARN, tmp_path / "model.tar.gz", tmp_path / "unpacked", model, more, truth, scores)
    assert (result.rows, result.note) == (len(test), "scored on the same test records")
    assert result.metrics == result.challenger_metrics


def test_a_model_that_knows_all_test_records_is_not_compared(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(evaluated("binary").folder / "train" / "model", copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    splits = {"train": 0.999998, "validation": 1e-6, "test": 1e-6}
    (copy / "config.json").write_text(json.dumps(config | {"splits": splits}), encoding="utf-8")
    result = compared(tmp_path, copy)
    assert result.note.startswith("the approved model has learned from the test records")
    assert result.to_dict()["compared"] == 0


def test_classes_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(evaluated("binary").folder / "train" / "model", copy)
    same = compared(tmp_path, copy)
    schema = json.loads((copy / "schema.json").read_text(encoding="utf-8"))
    (copy / "schema.json").write_text(json.dumps(schema | {"classes": ["yes", "no"]}), encoding="utf-8")
    turned = compared(tmp_path, copy)
    assert turned.metrics["auc"] == pytest.approx(1 - same.metrics["auc"])


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"label": "other"}, "the approved model solves another problem: binary on 'churned'"),
        ({"classes": ("no", "perhaps")}, "the approved model solves another problem"),
        ({"without": ["spent"]}, "the approved model needs column 'spent', which the data no longer has"),
    ],
)
def test_an_approved_model_of_other_data_is_reported_as_not_comparable(
    tmp_path: Path, changes: dict[str, Any], note: str
) -> None:
    result = compared(tmp_path, evaluated("binary").folder / "train" / "model", **changes)
    assert result.note.startswith(note)
    assert result.to_dict()["compared"] == 0


def test_an_archive_of_another_kind_is_reported_as_not_comparable(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "model.pkl").write_bytes(b"pickle")
    assert compared(tmp_path, foreign).note.startswith("the approved model was not made by this version")

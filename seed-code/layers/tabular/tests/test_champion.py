import dataclasses
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from tabular_jobs import Project, evaluated, pack, shop_config, shop_records

from tabular import champion, former_split
from tabular.comparison import FEWEST_RECORDS, Champion, compare
from tabular.errors import ConfigError
from tabular.model import targets
from tabular.splits import Split

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
        self.archive = archive
        monkeypatch.setattr(boto3, "Session", lambda **_: self)

    def client(self, service: str) -> Any:
        """Return the client of a service, as a session does."""
        return self._sagemaker if service == "sagemaker" else self

    def download_file(self, bucket: str, key: str, path: str) -> None:
        """Answer as the S3 client does."""
        self.asked.append((bucket, key))
        shutil.copy(self.archive, path)

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


def test_a_registry_that_denies_access_stops_the_evaluation(registry: Registry, tmp_path: Path) -> None:
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


def compared(tmp_path: Path, folder: Path, project: Project | None = None, **changes: Any) -> Champion:
    """Compare the model in a folder with the one of a project (default: of the shop), whose schema is changed."""
    archive = tmp_path / "model.tar.gz"
    pack(folder, archive)
    project = project or evaluated("binary")
    model = project.model()
    (test,) = Split(project.folder / "prepare" / "output" / "test", model.schema, model.config)
    truth = targets(test, model.schema)
    scores = model.scores(test)
    dropped = changes.pop("without", [])
    model = dataclasses.replace(model, schema=dataclasses.replace(model.schema, **changes))
    return compare(ARN, archive, tmp_path / "unpacked", model, [test.drop_columns(dropped)], truth, scores)


MANY_TEST_RECORDS = {"train": 0.2, "validation": 0.2, "test": 0.6}


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with so many test records that enough of them are new to another model, too."""
    return again(tmp_path_factory.mktemp("today"), splits=MANY_TEST_RECORDS)


def test_only_records_that_the_approved_model_has_not_learned_from_count(tmp_path: Path, today: Project) -> None:
    approved = again(tmp_path / "approved", seed=1, splits=MANY_TEST_RECORDS)
    known = set(approved.split("train")["customer"]) | set(approved.split("validation")["customer"])
    records = today.split("test")
    result = compared(tmp_path, approved.folder / "train" / "model", today)
    assert FEWEST_RECORDS <= result.rows < len(records)
    assert result.rows == len(set(records["customer"]) - known)
    assert result.note == f"scored on the {result.rows} test records it has not learned from"
    assert result.metrics["auc"] != result.challenger_metrics["auc"]


def changed(model: Path, copy: Path, name: str, **values: object) -> Path:
    """Return a copy of a model in whose JSON file some values are others, or gone (None)."""
    shutil.copytree(model, copy)
    content = json.loads((copy / name).read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in content.items() if value is not None}
    (copy / name).write_text(json.dumps(kept), encoding="utf-8")
    return copy


def test_a_model_says_by_which_division_it_was_trained(today: Project) -> None:
    assert today.model().division == "xxh64"


def test_a_model_of_version_1_is_compared_on_what_is_test_in_both_divisions(tmp_path: Path, today: Project) -> None:
    former = changed(today.folder / "train" / "model", tmp_path / "former", "training.json", division=None)
    result = compared(tmp_path, former, today)
    model = today.model()
    (records,) = Split(today.folder / "prepare" / "output" / "test", model.schema, model.config)
    columns = dict(zip(records.schema.names, records.columns, strict=True))
    splits = former_split.divide(columns, model.schema, model.config.splits, model.config.seed)
    assert result.rows == splits.count("test") < len(records)
    assert result.rows >= FEWEST_RECORDS
    assert result.to_dict()["compared"] == 1


def test_with_few_common_test_records_the_approved_model_is_not_compared(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = changed(evaluated("binary").folder / "train" / "model", tmp_path / "former", "training.json", division=None)
    pack(model, registry.archive)
    registry.list_page(ARN)
    registry.describe(ModelDataUrl="s3://bucket/model.tar.gz")
    report = again(tmp_path / "new").evaluate("--model-package-group", "shop")
    assert report["champion"]["note"].startswith("not comparable: of the ")
    assert "at least 200 with different labels are needed" in report["champion"]["note"]
    assert (report["champion"]["compared"], report["champion"]["model_package_arn"]) == (0, ARN)
    assert (report["gate"]["champion_value"], report["gate"]["not_worse_than_champion"]) == (None, 1)
    assert f"approved model: {report['champion']['note']}\n" in capsys.readouterr().out


def test_few_test_records_are_compared_if_none_is_known_to_the_approved_model(tmp_path: Path) -> None:
    few = again(tmp_path / "few", splits={"train": 0.8, "validation": 0.15, "test": 0.05})
    result = compared(tmp_path, few.folder / "train" / "model", few)
    assert 0 < result.rows == len(few.split("test")) < FEWEST_RECORDS
    assert result.note == "scored on the same test records"


def test_a_model_of_an_unknown_division_is_not_compared(tmp_path: Path) -> None:
    later = changed(evaluated("binary").folder / "train" / "model", tmp_path / "later", "training.json", division="x")
    note = "not comparable: the approved model was trained by the division 'x', which this version does not know"
    assert compared(tmp_path, later).note == note


def test_the_note_can_stand_in_json_as_it_is() -> None:
    note = Champion('the "model"\nneeds \\ and\ta column' + "x" * 2000).to_dict()["note"]
    assert json.loads(f'"{note}"') == note
    assert len(note) == 1000


def test_a_new_column_does_not_hide_what_the_approved_model_has_learned(tmp_path: Path) -> None:
    approved = again(tmp_path / "approved", record_key=[])  # divided by all values of a record
    model = approved.model()
    test = approved.split("test")
    (typed,) = Split(approved.folder / "prepare" / "output" / "test", model.schema, model.config)
    pack(approved.folder / "train" / "model", tmp_path / "model.tar.gz")
    more = typed.append_column("new", pa.array(range(len(typed))))
    truth, scores = targets(typed, model.schema), model.scores(typed)
    result = compare(ARN, tmp_path / "model.tar.gz", tmp_path / "unpacked", model, [more], truth, scores)
    assert (result.rows, result.note) == (len(test), "scored on the same test records")
    assert result.metrics == result.challenger_metrics


def test_a_model_that_knows_all_test_records_is_not_compared(tmp_path: Path) -> None:
    splits = {"train": 0.999998, "validation": 1e-6, "test": 1e-6}
    knowing = changed(evaluated("binary").folder / "train" / "model", tmp_path / "copy", "config.json", splits=splits)
    result = compared(tmp_path, knowing)
    assert "test records, the approved model, whose splits were others, has not learned from 0, " in result.note
    assert result.to_dict()["compared"] == 0


def test_classes_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    model = evaluated("binary").folder / "train" / "model"
    same = compared(tmp_path, model)
    turned = compared(tmp_path, changed(model, tmp_path / "copy", "schema.json", classes=["yes", "no"]))
    assert turned.metrics["auc"] == pytest.approx(1 - same.metrics["auc"])


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"label": "other"}, "not comparable: the approved model solves another problem: binary on 'churned'"),
        ({"classes": ("no", "perhaps")}, "not comparable: the approved model solves another problem"),
        (
            {"without": ["spent"]},
            "not comparable: the approved model needs column 'spent', which the data no longer has",
        ),
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
    note = compared(tmp_path, foreign).note
    assert note.startswith("not comparable: the approved model was not made by this version of the project (")
    assert "\n" not in note

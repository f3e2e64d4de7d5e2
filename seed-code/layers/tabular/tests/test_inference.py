import base64
import csv
import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tabular_jobs import Project, evaluated

import inference

pytestmark = pytest.mark.slow

PROBLEM_TYPES = ["binary", "multiclass", "regression"]


RECORD = {"spent": 50.0, "visits": 3, "region": "south", "member": True, "joined": "2023-05-01"}
ONE = json.dumps(RECORD)


def ask(project: Project, body: str | bytes, content_type: str, accept: str = "application/json") -> Any:
    """Return the answer of the endpoint; JSON is parsed."""
    model = inference.model_fn(str(project.folder / "train" / "model"))
    answer = inference.output_fn(inference.predict_fn(inference.input_fn(body, content_type), model), accept)
    return json.loads(answer)["predictions"] if accept == "application/json" else answer


def sample(project: Project, name: str) -> str:
    """Return a file of held-out records."""
    return (project.output("samples") / name).read_text(encoding="utf-8")


def lines(text: str) -> list[Any]:
    """Return JSON lines as values."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
@pytest.mark.parametrize("form", ["csv", "csv without header", "json", "instances", "jsonlines"])
def test_serving_gives_exactly_the_scores_of_evaluation(problem_type: str, form: str) -> None:
    project = evaluated(problem_type)
    expected = [line["expected"] for line in lines(sample(project, "expected.jsonl"))]
    as_csv, as_lines = sample(project, "records.csv"), sample(project, "records.jsonl")
    body, content_type = {
        "csv": (as_csv, "text/csv"),
        "csv without header": (as_csv.split("\n", 1)[1], "text/csv"),
        "json": (json.dumps(lines(as_lines)), "application/json"),
        "instances": (json.dumps({"instances": lines(as_lines)}), "application/json"),
        "jsonlines": (as_lines, "application/jsonlines"),
    }[form]
    assert ask(project, body, content_type) == expected


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_serving_agrees_with_the_listed_predictions(problem_type: str) -> None:
    project = evaluated(problem_type)
    with (project.output("evaluation") / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        listed = {row["customer"]: row for row in csv.DictReader(stream)}
    records = lines(sample(project, "records.jsonl"))
    for record, answer in zip(records, ask(project, sample(project, "records.csv"), "text/csv"), strict=True):
        row = listed[record["customer"]]
        if problem_type == "multiclass":
            answer = {"label": answer["label"]} | {f"p_{name}": p for name, p in answer["probabilities"].items()}
        for name, value in answer.items():
            assert (value if isinstance(value, str) else float(value)) == (
                row[name] if isinstance(value, str) else float(row[name])
            )


def test_one_record_alone_scores_like_among_others() -> None:
    project = evaluated("binary")
    records = lines(sample(project, "records.jsonl"))
    together = ask(project, json.dumps(records[:20]), "application/json")
    alone = [ask(project, json.dumps(record), "application/json")[0] for record in records[:20]]
    assert alone == together


def test_column_order_unknown_columns_and_the_label_do_not_matter() -> None:
    project = evaluated("binary")
    record = lines(sample(project, "records.jsonl"))[0]
    (expected,) = ask(project, json.dumps(record), "application/json")
    changed = {"shoe size": 44, "churned": "yes", **dict(reversed(list(record.items())))}
    assert ask(project, json.dumps(changed), "application/json") == [expected]
    stream = io.StringIO()
    csv.writer(stream).writerows([list(changed), ["" if value is None else value for value in changed.values()]])
    assert ask(project, stream.getvalue(), "text/csv") == [expected]


def test_a_missing_column_counts_as_a_missing_value() -> None:
    project = evaluated("binary")
    record = lines(sample(project, "records.jsonl"))[0]
    without = {name: value for name, value in record.items() if name != "spent"}
    answers = [
        ask(project, json.dumps(r), "application/json")
        for r in (without, record | {"spent": None}, record | {"spent": ""})
    ]
    assert answers[0] == answers[1] == answers[2]
    assert np.isfinite(answers[0][0]["score"])


def test_values_are_taken_in_any_reasonable_type() -> None:
    project = evaluated("binary")
    plain = {"spent": 50.0, "visits": 3, "region": "south", "member": True, "joined": "2023-05-01"}
    other = {"spent": " 50", "visits": "3.0", "region": "south ", "member": "Y", "joined": "2023-05-01T00:00:00Z"}
    assert ask(project, json.dumps([plain]), "application/json") == ask(
        project, json.dumps([other]), "application/json"
    )


def test_whole_numbers_may_become_fractions_and_categories_may_be_new() -> None:
    record = {"spent": 1e400, "visits": 2.5, "region": "the moon", "member": None, "joined": "9999-12-31"}
    (answer,) = ask(evaluated("binary"), json.dumps(record), "application/json")
    assert 0 <= answer["score"] <= 1


def test_answers_as_csv_have_one_line_per_record() -> None:
    project = evaluated("multiclass")
    records = sample(project, "records.jsonl")
    rows = list(csv.reader(io.StringIO(ask(project, records, "application/jsonlines", "text/csv"))))
    answers = ask(project, records, "application/jsonlines")
    classes = ["bronze", "gold", "silver"]
    assert rows == [[a["label"], *(str(a["probabilities"][name]) for name in classes)] for a in answers]


def test_answers_as_json_lines_have_one_line_per_record() -> None:
    project = evaluated("regression")
    records = sample(project, "records.jsonl")
    text = ask(project, records, "application/jsonlines", "application/jsonlines")
    assert lines(text) == ask(project, records, "application/jsonlines")


def test_probabilities_add_up_and_labels_follow_from_scores() -> None:
    multiclass, binary = evaluated("multiclass"), evaluated("binary")
    for answer in ask(multiclass, sample(multiclass, "records.csv"), "text/csv"):
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    threshold = binary.model().decision_threshold
    for answer in ask(binary, sample(binary, "records.csv"), "text/csv"):
        assert answer["label"] == ("yes" if answer["score"] >= threshold else "no")


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "",
        "application/json; charset=utf-8",
        "text/html, */*;q=0.8",
        "text/csv;q=0.1, application/*",
        "x/y;q=z, */*",
    ],
)
def test_json_is_the_default_answer(accept: str) -> None:
    assert "score" in json.loads(ask(evaluated("binary"), ONE, "application/json", accept))["predictions"][0]


@pytest.mark.parametrize(
    "accept", ["text/csv", "text/*", "application/json;q=0.5, text/csv", "application/json;q=0, text/csv;q=0.1, a/b"]
)
def test_a_caller_who_prefers_csv_gets_it(accept: str) -> None:
    assert ask(evaluated("binary"), ONE, "application/json", accept).count(",") == 1


@pytest.mark.parametrize(
    "wrapped",
    [
        {"instances": [RECORD]},
        {"instances": RECORD},
        {"records": [RECORD]},
        {"inputs": [RECORD]},
        {"dataframe_records": [RECORD]},
        {"dataframe_split": {"index": [0], "columns": list(RECORD), "data": [list(RECORD.values())]}},
        {"httpMethod": "POST", "body": ONE, "isBase64Encoded": False},
        {"requestContext": {}, "body": base64.b64encode(ONE.encode()).decode(), "isBase64Encoded": True},
        {"httpMethod": "POST", "body": json.dumps({"records": [RECORD]})},
    ],
)
def test_records_in_a_known_wrapper_are_scored(wrapped: dict[str, Any]) -> None:
    project = evaluated("binary")
    assert ask(project, json.dumps(wrapped), "application/json") == ask(project, ONE, "application/json")


@pytest.mark.parametrize(("separator", "end"), [(";", "\n"), ("\t", "\r\n"), ("|", "\r")])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_with_any_separator_of_training_is_scored(separator: str, end: str, mark: str) -> None:
    project = evaluated("binary")
    text = f"{mark}{separator.join(RECORD)}{end}{separator.join(map(str, RECORD.values()))}{end}"
    assert ask(project, text, "text/csv") == ask(project, ONE, "application/json")


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        ("", "application/json", "The request is empty"),
        ("{", "application/json", "The request is not JSON"),
        ("[]", "application/json", "The request has no record"),
        ('{"instances": []}', "application/json", "The request has no record"),
        ("[1, 2]", "application/json", "Record 1 is not an object of columns and values"),
        ('[{}, "x"]', "application/json", "Record 2 is not an object"),
        ("{}", "application/json", "Record 1 has none of the columns that the model reads"),
        ('[{"visits": 1}, {"shoe": 44}]', "application/json", "Record 2 has none of the columns"),
        ('{"visits": 1, "visits": 2}', "application/json", "'visits' is there twice in one object"),
        ("visits,spent,visits\n1,2,3", "text/csv", "The header has the column 'visits' twice"),
        ('{"regoin": "south", "spent": 4}', "application/json", "unknown column 'regoin': is 'region' meant?"),
        ('{"SPENT": 4, "VISITS": 1}', "application/json", "unknown column 'SPENT': is 'spent' meant?"),
        ('{"spennt": 4, "visits": 1}', "application/json", "Record 1: unknown column 'spennt': is 'spent' meant?"),
        ('{"VISITS": 4, "spent": 1}', "application/json", "Record 1: unknown column 'VISITS': is 'visits' meant?"),
        ('{"data": [{"visits": 1}]}', "application/json", "'data' holds a list or an object"),
        ('{"spent": 1, "more": {}}', "application/json", "'more' holds a list or an object"),
        (
            '{"dataframe_split": {"columns": ["visits"], "data": [[1, 2]]}}',
            "application/json",
            "Record 1 has not as many",
        ),
        ("SPENT,VISITS,REGION\n1,2,south", "text/csv", "seems to be a header in another spelling"),
        ('{"spent": "lots"}', "application/json", "Record 1, column 'spent': 'lots' is not a number"),
        ('[{"visits": 1}, {"visits": "1,5"}]', "application/json", "Record 2, column 'visits': '1,5' is not a number"),
        ('{"member": "perhaps"}', "application/json", "column 'member': 'perhaps' is not a boolean"),
        ('{"joined": "soon"}', "application/json", "column 'joined': 'soon' is not a date"),
        ('{"spent": [1]}', "application/json", "column 'spent': a list or an object is not a value"),
        ('{"httpMethod": "POST", "body": "{}", "isBase64Encoded": true}', "application/json", "is not Base64 of UTF-8"),
        ('{}\n{"spent": }', "application/jsonlines", "Line 2 is not JSON"),
        ("1,2,3", "text/csv", "Records have 3 fields. Send a header, or the 9 columns"),
        ("spent,visits\n", "text/csv", "a header but no record"),
        ("spent,visits\n1,2\n3", "text/csv", "Record 2 has 1 fields instead of 2"),
        ('spent,visits\n"1,2', "text/csv", "The request is not CSV"),
        (b"\xff\xfe", "text/csv", "The request is not UTF-8 text"),
        ("<x/>", "application/xml", "Content type 'application/xml' is not supported"),
    ],
)
def test_a_bad_request_is_answered_with_status_400_and_the_reason(
    body: str | bytes, content_type: str, message: str
) -> None:
    with pytest.raises(inference.BadRequestError, match=re.escape(message)) as failure:
        ask(evaluated("binary"), body, content_type)
    assert isinstance(failure.value, ValueError)
    assert failure.value.status_code == 400


def test_an_unknown_answer_form_is_refused() -> None:
    with pytest.raises(inference.BadRequestError, match="Accept 'image/png' is not supported"):
        ask(evaluated("binary"), ONE, "application/json", "image/png")


def test_the_archive_serves_by_its_own_code(tmp_path: Path) -> None:
    project = evaluated("binary")
    model = project.folder / "train" / "model"
    program = (
        "import sys, importlib.util as u; "
        "s = u.spec_from_file_location('inference', sys.argv[1] + '/code/inference.py'); "
        "i = u.module_from_spec(s); s.loader.exec_module(i); "
        "import tabular; assert tabular.__file__.startswith(sys.argv[1]), tabular.__file__; "
        "m = i.model_fn(sys.argv[1]); "
        "print(i.output_fn(i.predict_fn(i.input_fn(sys.stdin.read(), 'text/csv'), m), 'application/json'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(model)],
        input=sample(project, "records.csv"),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    expected = [line["expected"] for line in lines(sample(project, "expected.jsonl"))]
    assert json.loads(done.stdout)["predictions"] == expected


def test_errors_are_those_of_the_serving_toolkit_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sagemaker_inference"
    package.mkdir()
    (package / "__init__.py").touch()
    # As in sagemaker-inference 1.5.5: the server answers with the status of such an error, and with 500 for all others.
    (package / "errors.py").write_text(
        "class BaseInferenceToolkitError(Exception):\n"
        "    def __init__(self, status_code, message, phrase):\n"
        "        self.status_code, self.message, self.phrase = status_code, message, phrase\n"
        "        super().__init__(status_code, message, phrase)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location("inference_in_image", Path(inference.__file__))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "inference_in_image", module)
    spec.loader.exec_module(module)
    from sagemaker_inference.errors import BaseInferenceToolkitError

    with pytest.raises(BaseInferenceToolkitError) as failure:
        module.input_fn("", "application/json")
    assert (failure.value.status_code, failure.value.phrase) == (400, "Bad Request")
    assert "The request is empty" in failure.value.message
    assert isinstance(failure.value, ValueError)

"""Every command and every SQL statement in the documentation: commands are parsed by what would run them, SQL runs."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import botocore.session
import click
import pytest

from foundation.registry.audit_trail import AUDIT_COLUMNS, AUDIT_PARTITIONS
from pipeline.cli import portfolio
from products.shared import names

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "products/*/*.md",
        "tests/**/*.md",
        "seed-code/*.md",
        "seed-code/*/*.md",
        ".github/*.md",
    )
    for path in ROOT.glob(pattern)
)
REPOSITORIES: Final = {
    path: ROOT / "seed-code/layers" / owner / "Makefile"
    for layer, owner in (
        ("project", "project"),
        ("source-s3", "project"),
        ("deployment", "deployment"),
        ("monitoring", "deployment"),
        ("realtime", "deployment"),
        ("batch", "deployment"),
    )
    for path in (ROOT / "seed-code/layers" / layer).rglob("*.md")
}
"""Pages of the generated repositories, and the Makefile that their readers have."""

AWS_OPTIONS: Final = {"region", "profile", "query", "output", "cli-input-json"}
"""Options of the command line itself."""


def lines(page: Path) -> list[str]:
    """Return every line of shell, and every command in the running text, of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + inline
    return [line.strip().removeprefix("uv run ").removeprefix(".venv/bin/") for line in found]


def commands(program: str, pages: list[Path]) -> list[tuple[Path, str]]:
    return [(page, line) for page in pages for line in lines(page) if re.match(rf"{re.escape(program)} \S", line)]


def without_comment(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def test_every_command_of_aws_is_an_operation_with_options_of_botocore() -> None:
    session = botocore.session.get_session()
    found = [
        (page, line)
        for page, line in commands("aws", [*PAGES, *REPOSITORIES])
        if re.match(r"aws [a-z0-9-]+ [a-z-]+", line)
    ]
    assert len(found) > 40
    for page, line in found:
        _, service, operation, *rest = line.split(" ", 3)
        if service == "s3":
            assert operation in ("cp", "sync", "ls", "rm", "mb"), (page.name, line)
            continue
        model = session.get_service_model({"s3api": "s3"}.get(service, service))
        operations = {botocore.xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations, (page.name, line)
        shape = model.operation_model(operations[operation]).input_shape
        members = {botocore.xform_name(name, "-") for name in shape.members} if shape else set()
        options = set(re.findall(r"(?<=\s)--([a-z][a-z0-9-]+)", f" {' '.join(rest)}"))
        assert options <= members | {f"no-{member}" for member in members} | AWS_OPTIONS, (page.name, line)


def test_every_command_of_ours_has_the_options_that_are_named() -> None:
    found = commands("portfolio", PAGES)
    assert len(found) > 15
    for page, line in found:
        name, *arguments = without_comment(line)[1:]
        if not re.fullmatch(r"[a-z-]+", name):
            continue  # prose about the command
        command = portfolio.commands.get(name)
        assert command is not None, (page.name, line)
        try:
            command.make_context(name, arguments, resilient_parsing=True)
        except click.UsageError as err:
            pytest.fail(f"{page.name}: {line}: {err.message}")


def test_every_target_of_make_exists_with_its_variables() -> None:
    own = [(page, line, ROOT / "Makefile") for page, line in commands("make", PAGES)]
    theirs = [(page, line, REPOSITORIES[page]) for page, line in commands("make", list(REPOSITORIES))]
    assert len(own) > 30
    assert len(theirs) > 10
    for page, line, makefile in (*own, *theirs):
        words = without_comment(line)[1:]
        if page.parent.name == "seed-code" or words[0] == "-C":
            makefiles = [ROOT / "Makefile", *set(REPOSITORIES.values())]
            words = words[2:] if words[0] == "-C" else words
        else:
            makefiles = [makefile]
        text = "\n".join(path.read_text(encoding="utf-8") for path in makefiles)
        for word in words:
            variable, equals, _ = word.partition("=")
            if equals:
                assert re.search(rf"\$\((?:filter-out 0,\$\()?{variable}\b|\b{variable}\b", text), (page.name, line)
            else:
                assert re.search(rf"^{re.escape(word)}:", text, re.MULTILINE), (page.name, line)


def test_every_module_that_is_run_exists() -> None:
    found = [(page, line) for page, line in commands("python", PAGES) if " -m " in line]
    assert len(found) > 5
    for page, line in found:
        module = re.search(r" -m ([\w.]+)", line)
        assert module, (page.name, line)
        assert find_spec(module[1]) is not None, (page.name, line)


def test_every_statement_of_sql_runs_on_the_audit_table() -> None:
    statements = [
        (page, sql)
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for sql in (*re.findall(r"```sql\n(.*?)```", text, re.DOTALL), *re.findall(r"`(SELECT [^`]+)`", text))
    ]
    assert len(statements) >= 2
    columns = ", ".join(f"{column} text" for column in AUDIT_COLUMNS)
    partitions = ", ".join(f"{partition} integer" for partition in AUDIT_PARTITIONS)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"ATTACH ':memory:' AS {names.AUDIT_DATABASE}")
        database.execute(f"CREATE TABLE {names.AUDIT_DATABASE}.{names.AUDIT_TABLE} ({columns}, {partitions})")
        for page, sql in statements:
            assert f"{names.AUDIT_DATABASE}.{names.AUDIT_TABLE}" in sql, page.name
            for statement in filter(str.strip, sql.split(";")):
                assert "SELECT" in statement, (page.name, "the stack of the hub makes the table")
                database.execute(statement)


def test_what_contributing_says_to_change_is_in_the_file_that_it_names() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = " ".join(text.split("\n## Where to change what\n")[1].split("\n## ")[0].split())
    found = re.findall(r"`([^`]+)` in \[[^]]+\]\(([^)]+)\)", section)
    assert len(found) == section.count("]("), "each link follows the name of what is in the file"
    assert len(found) > 10
    for name, path in found:
        assert re.search(rf"{re.escape(name)}\b", (ROOT / path).read_text(encoding="utf-8")), (name, path)

"""The buildspec of the seed-code check-in, run with bash against real repositories."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import os
import shutil
import subprocess
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

BUILDSPEC = Path(__file__).parents[2] / "foundation" / "seed_checkin_buildspec.yml"
GIT_URL = "https://codeconnections.eu-west-1.amazonaws.com/git-http/111122223333/eu-west-1/abc/team/churn.git"
FIRST = {
    "README.md": "# Churn\n",
    "config.yaml": "label: churned\nrounds: 10\n",
    "run.sh": "#!/bin/sh\n",
    "old.py": "x = 1\n",
}
SECOND = {
    "README.md": "# Churn\n",
    "config.yaml": "label: churned\nrounds: 20\n",
    "run.sh": "#!/bin/sh\n",
    "new.py": "y = 2\n",
}


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if text.startswith("#!") else 0o100644) << 16
            zipped.writestr(entry, text)
    return buffer.getvalue()


@dataclass
class Outcome:
    """What CodeBuild would report."""

    succeeded: bool
    exported: dict[str, str]
    log: str

    @property
    def status(self) -> str:
        return self.exported["CHECKIN_STATUS"]

    @property
    def commit(self) -> str:
        return self.exported["COMMIT_ID"]


@dataclass
class Builder:
    """A machine that runs the buildspec, with a repository host and a bucket on its disk."""

    root: Path
    spec: dict[str, Any] = field(default_factory=lambda: yaml.safe_load(BUILDSPEC.read_text(encoding="utf-8")))

    def __post_init__(self) -> None:
        self.remote = self.root / "host" / "churn.git"
        self.bucket = self.root / "bucket"
        (self.bucket / "assets").mkdir(parents=True)
        bin_ = self.root / "bin"
        bin_.mkdir()
        aws = bin_ / "aws"
        # The command line of AWS, as far as the buildspec uses it.
        aws.write_text(
            '#!/bin/bash\n[ "$1 $2 $3" = "s3 cp --only-show-errors" ] || exit 252\n'
            f'cp "${{4/s3:\\/\\/artifacts/{self.bucket}}}" "$5"\n'
        )
        aws.chmod(0o755)
        self.git_config = self.root / "gitconfig"
        self.git_config.write_text(
            f'[url "file://{self.remote}"]\n\tinsteadOf = {GIT_URL}\n[init]\n\tdefaultBranch = master\n'
            "[user]\n\tname = A user\n\temail = user@example.com\n"
        )
        self.environment = {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.root),
            "GIT_CONFIG_GLOBAL": str(self.git_config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "TMPDIR": str(self.root),
            "LC_ALL": "C",
        }

    def make_repository(self) -> None:
        self.git("init", "--quiet", "--bare", str(self.remote), folder=self.root)

    def put(self, files: dict[str, str]) -> str:
        content = archive(files)
        digest = hashlib.sha256(content).hexdigest()
        (self.bucket / "assets" / f"{digest}.zip").write_bytes(content)
        return digest

    def run(
        self,
        mode: str,
        files: dict[str, str],
        version: str,
        *,
        former: dict[str, str] | None = None,
        git_url: str = GIT_URL,
        project: str = "p-abc",
    ) -> Outcome:
        digest = self.put(files)
        return self.run_with(
            MODE=mode,
            GIT_URL=git_url,
            BRANCH="main",
            UPDATE_BRANCH=f"ml-platform/{version}",
            ASSET_BUCKET="artifacts",
            ASSET_KEY=f"assets/{digest}.zip",
            DIGEST=digest,
            FORMER_DIGEST=hashlib.sha256(archive(former)).hexdigest() if former else "",
            VERSION=version,
            PROJECT_NAME="churn",
            PROJECT_ID=project,
        )

    def run_with(self, **variables: str) -> Outcome:
        """Run all commands in one shell, as CodeBuild does, and read the exported variables afterwards."""
        names = self.spec["env"]["exported-variables"]
        exports = self.root / "exports"
        exports.unlink(missing_ok=True)
        commands = [command for phase in self.spec["phases"].values() for command in phase["commands"]]
        script = "\n".join([*commands, "RESULT=$?", "env -0 > " + str(exports), "exit $RESULT"])
        done = subprocess.run(
            ["bash", "-c", script],
            env={**self.environment, **self.spec["env"]["variables"], **variables},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        environment = dict(line.split("=", 1) for line in exports.read_text().split("\0") if "=" in line)
        exported = {name: environment.get(name, "") for name in names}
        return Outcome(succeeded=done.returncode == 0, exported=exported, log=done.stdout + done.stderr)

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder or self.remote,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def files(self, ref: str) -> dict[str, str]:
        names = self.git("ls-tree", "-r", "--name-only", ref).split()
        return {name: self.git("show", f"{ref}:{name}") + "\n" for name in names}

    def user_clone(self) -> Path:
        clone = self.root / "users-clone"
        shutil.rmtree(clone, ignore_errors=True)
        self.git("clone", "--quiet", "--branch", "main", GIT_URL, str(clone), folder=self.root)
        return clone

    def user_commits(self, name: str, text: str) -> Path:
        clone = self.user_clone()
        (clone / name).write_text(text)
        self.git("add", "--all", folder=clone)
        self.git("commit", "--quiet", "--message", f"Change {name}", folder=clone)
        self.git("push", "--quiet", "origin", "main", folder=clone)
        return clone


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    builder = Builder(tmp_path)
    builder.make_repository()
    return builder


# ---- create ----


def test_an_empty_repository_gets_the_seed_code_as_one_commit_on_the_users_branch(builder: Builder) -> None:
    outcome = builder.run("create", FIRST, "1.0.0")
    assert outcome.succeeded, outcome.log
    assert outcome.status == "ok"
    assert builder.branches() == ["main"]
    assert builder.git("rev-parse", "main") == outcome.commit
    assert builder.git("rev-list", "--count", "main") == "1"
    assert builder.files("main") == FIRST


def test_the_commit_tells_who_made_it_and_from_what(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    message = builder.git("log", "-1", "--format=%an <%ae>%n%B", "main")
    assert message.startswith("ML platform <ml-platform@seed.invalid>\nSeed code 1.0.0 of project churn")
    trailers = builder.git("log", "-1", "--format=%(trailers:only)", "main")
    assert trailers.splitlines()[1:] == ["Seed-Version: 1.0.0", "Project-Id: p-abc"]


def test_scripts_stay_executable_and_ignored_files_are_checked_in(builder: Builder) -> None:
    builder.run("create", FIRST | {".gitignore": "*.csv\n", "sample.csv": "a\n"}, "1.0.0")
    modes = {line.split("\t")[1]: line.split()[0] for line in builder.git("ls-tree", "-r", "main").splitlines()}
    assert modes["run.sh"] == "100755"
    assert modes["README.md"] == "100644"
    assert "sample.csv" in modes


def test_running_again_after_a_push_finds_its_own_commit_and_is_content(builder: Builder) -> None:
    first = builder.run("create", FIRST, "1.0.0")
    again = builder.run("create", FIRST, "1.0.0")
    assert again.status == "ok"
    assert again.commit == first.commit
    assert builder.git("rev-list", "--count", "--all") == "1"


@pytest.mark.parametrize("what", ["foreign commit", "commit on top", "another branch", "other seed code"])
def test_a_repository_with_anything_else_in_it_is_left_as_it_is(builder: Builder, what: str) -> None:
    builder.run("create", SECOND if what == "other seed code" else FIRST, "1.0.0")
    if what == "commit on top":
        builder.user_commits("config.yaml", "label: mine\n")
    elif what == "another branch":
        builder.git("branch", "feature", "main")
    elif what == "foreign commit":
        clone = builder.user_clone()
        builder.git("commit", "--quiet", "--amend", "--reset-author", "--no-edit", folder=clone)
        builder.git("push", "--quiet", "--force", "origin", "main", folder=clone)
    before = builder.git("show-ref")
    outcome = builder.run("create", FIRST, "1.0.0")
    assert outcome.succeeded
    assert outcome.status == "not-empty"
    assert builder.git("show-ref") == before


@pytest.mark.parametrize("other", ["p-xyz", "p-abcd", "p-ab", "p-aBc"])
def test_the_repository_of_another_project_is_not_taken_over_with_the_same_seed_code(
    builder: Builder, other: str
) -> None:
    """Both projects would train and deploy each other's commits."""
    builder.run("create", FIRST, "1.0.0")
    before = builder.git("show-ref")
    outcome = builder.run("create", FIRST, "1.0.0", project=other)
    assert outcome.succeeded
    assert outcome.status == "other-project"
    assert outcome.exported["CHECKIN_REASON"].strip() == "Project-Id: p-abc"
    assert builder.git("show-ref") == before
    assert builder.run("create", FIRST, "1.0.0").status == "ok"  # its own project is still content


def test_a_user_cannot_hand_a_repository_to_another_project(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    clone = builder.user_clone()
    digest = hashlib.sha256(archive(FIRST)).hexdigest()
    message = f"Mine\n\nSeed-Archive: {digest}\nSeed-Version: 1.0.0\nProject-Id: p-xyz"
    builder.git("commit", "--quiet", "--amend", "--no-edit", "--message", message, folder=clone)
    builder.git("push", "--quiet", "--force", "origin", "main", folder=clone)
    assert builder.run("create", FIRST, "1.0.0", project="p-xyz").status == "not-empty"


def test_an_update_does_not_touch_the_repository_of_another_project(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    before = builder.git("show-ref")
    outcome = builder.run("update", SECOND, "1.1.0", former=FIRST, project="p-xyz")
    assert outcome.status == "other-project"
    assert builder.git("show-ref") == before


# ---- what a person has to fix ----


def test_a_missing_repository_is_told_with_gits_words(builder: Builder) -> None:
    shutil.rmtree(builder.remote)
    for mode in ("create", "update"):
        outcome = builder.run(mode, FIRST, "1.0.0")
        assert outcome.succeeded
        assert outcome.status == "repository-missing"
        assert "does not appear to be a git repository" in outcome.exported["CHECKIN_REASON"]
        assert "\n" not in outcome.exported["CHECKIN_REASON"]


def test_a_refused_push_is_told_with_the_hosts_words(builder: Builder) -> None:
    hook = builder.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'branch main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    outcome = builder.run("create", FIRST, "1.0.0")
    assert outcome.succeeded
    assert outcome.status == "push-refused"
    assert "branch main is protected" in outcome.exported["CHECKIN_REASON"]
    assert builder.branches() == []


def test_an_archive_whose_digest_is_not_its_name_is_not_used(builder: Builder) -> None:
    digest = builder.put(FIRST)
    (builder.bucket / "assets" / f"{digest}.zip").write_bytes(archive(SECOND))
    outcome = builder.run_with(
        MODE="create",
        GIT_URL=GIT_URL,
        BRANCH="main",
        ASSET_BUCKET="artifacts",
        ASSET_KEY=f"assets/{digest}.zip",
        DIGEST=digest,
        VERSION="1.0.0",
        PROJECT_NAME="churn",
        PROJECT_ID="p-abc",
    )
    assert outcome.status == "digest-mismatch"
    assert builder.branches() == []


def test_an_archive_that_is_not_there_is_told(builder: Builder) -> None:
    outcome = builder.run_with(
        MODE="create", GIT_URL=GIT_URL, ASSET_BUCKET="artifacts", ASSET_KEY="assets/none.zip", DIGEST="none"
    )
    assert outcome.succeeded
    assert outcome.status == "archive-missing"


def test_anything_unexpected_fails_the_build(builder: Builder) -> None:
    outcome = builder.run("destroy", FIRST, "1.0.0")
    assert not outcome.succeeded
    assert outcome.status == ""


# ---- update ----


def test_an_update_is_a_branch_that_leaves_the_users_branch_alone(builder: Builder) -> None:
    first = builder.run("create", FIRST, "1.0.0")
    before = builder.git("rev-parse", "main")
    outcome = builder.run("update", SECOND, "1.1.0", former=FIRST)
    assert outcome.status == "ok", outcome.log
    assert builder.git("rev-parse", "main") == before
    assert builder.branches() == ["main", "ml-platform/1.1.0"]
    assert builder.git("rev-parse", "ml-platform/1.1.0") == outcome.commit
    assert builder.git("rev-parse", "ml-platform/1.1.0~1") == first.commit
    assert builder.files("ml-platform/1.1.0") == SECOND


def test_merging_an_update_keeps_what_the_user_changed(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    builder.user_commits("config.yaml", "label: mine\nrounds: 10\n")
    builder.user_commits("notes.md", "mine\n")
    builder.run("update", {**SECOND, "config.yaml": FIRST["config.yaml"]}, "1.1.0", former=FIRST)
    clone = builder.user_clone()
    builder.git("merge", "--quiet", "--no-edit", "origin/ml-platform/1.1.0", folder=clone)
    assert (clone / "config.yaml").read_text() == "label: mine\nrounds: 10\n"
    assert (clone / "notes.md").exists()
    assert (clone / "new.py").exists()
    assert not (clone / "old.py").exists()


def test_updating_again_finds_the_branch_and_pushes_nothing(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    first = builder.run("update", SECOND, "1.1.0", former=FIRST)
    before = builder.git("show-ref")
    again = builder.run("update", SECOND, "1.1.0", former=FIRST)
    assert (again.status, again.commit) == ("ok", first.commit)
    assert builder.git("show-ref") == before


def test_an_update_that_is_rolled_back_pushes_nothing(builder: Builder) -> None:
    created = builder.run("create", FIRST, "1.0.0")
    builder.run("update", SECOND, "1.1.0", former=FIRST)
    before = builder.git("show-ref")
    back = builder.run("update", FIRST, "1.0.0", former=SECOND)
    assert (back.status, back.commit) == ("ok", created.commit)
    assert builder.git("show-ref") == before


def test_the_update_after_an_update_builds_on_that_one(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    second = builder.run("update", SECOND, "1.1.0", former=FIRST)
    builder.run("update", SECOND | {"third.py": "z = 3\n"}, "1.2.0", former=SECOND)
    assert builder.git("rev-parse", "ml-platform/1.2.0~1") == second.commit


def test_after_a_squashed_merge_the_update_builds_on_the_seed_code_that_is_left(builder: Builder) -> None:
    first = builder.run("create", FIRST, "1.0.0")
    builder.run("update", SECOND, "1.1.0", former=FIRST)
    clone = builder.user_clone()
    builder.git("merge", "--quiet", "--squash", "origin/ml-platform/1.1.0", folder=clone)
    message = builder.git("log", "-1", "--format=%B", "origin/ml-platform/1.1.0", folder=clone)
    builder.git("commit", "--quiet", "--message", message, folder=clone)  # the host copies message and trailers
    builder.git("push", "--quiet", "origin", "main", ":ml-platform/1.1.0", folder=clone)
    third = builder.run("update", SECOND | {"third.py": "z = 3\n"}, "1.2.0", former=SECOND)
    assert third.status == "ok"
    assert builder.git("rev-parse", "ml-platform/1.2.0~1") == first.commit


def test_after_a_rebase_by_the_host_the_rebased_commit_is_not_taken_for_seed_code(builder: Builder) -> None:
    first = builder.run("create", FIRST, "1.0.0")
    builder.user_commits("notes.md", "mine\n")
    builder.run("update", SECOND, "1.1.0", former=FIRST)
    clone = builder.user_clone()
    builder.git("cherry-pick", "origin/ml-platform/1.1.0", folder=clone)  # keeps the author, changes the committer
    builder.git("push", "--quiet", "origin", "main", ":ml-platform/1.1.0", folder=clone)
    builder.run("update", SECOND | {"third.py": "z = 3\n"}, "1.2.0", former=SECOND)
    assert builder.git("rev-parse", "ml-platform/1.2.0~1") == first.commit


def test_a_rewritten_history_gets_the_new_files_on_top_and_loses_none(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    clone = builder.user_clone()
    (clone / "notes.md").write_text("mine\n")
    builder.git("checkout", "--quiet", "--orphan", "fresh", folder=clone)
    builder.git("add", "--all", folder=clone)
    builder.git("commit", "--quiet", "--message", "Start afresh", folder=clone)
    builder.git("push", "--quiet", "--force", "origin", "fresh:main", folder=clone)
    outcome = builder.run("update", SECOND, "1.1.0", former=FIRST)
    assert outcome.status == "ok"
    assert builder.git("rev-parse", "ml-platform/1.1.0~1") == builder.git("rev-parse", "main")
    assert set(builder.files("ml-platform/1.1.0")) == {*FIRST, *SECOND, "notes.md"}


def test_a_link_in_the_users_branch_leads_no_file_out_of_the_repository(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    outside = builder.root / "outside"
    outside.write_text("untouched\n")
    clone = builder.user_clone()
    builder.git("checkout", "--quiet", "--orphan", "fresh", folder=clone)
    for name in SECOND:
        (clone / name).unlink(missing_ok=True)
        (clone / name).symlink_to(outside)
    builder.git("add", "--all", folder=clone)
    builder.git("commit", "--quiet", "--message", "Start afresh", folder=clone)
    builder.git("push", "--quiet", "--force", "origin", "fresh:main", folder=clone)
    outcome = builder.run("update", SECOND, "1.1.0", former=FIRST)
    assert outcome.status == "ok"
    assert outside.read_text() == "untouched\n"
    modes = builder.git("ls-tree", "-r", "--format=%(objectmode)", "ml-platform/1.1.0", "--", *SECOND).split()
    assert set(modes) <= {"100644", "100755"}


def test_an_update_of_an_emptied_repository_still_offers_the_new_version(builder: Builder) -> None:
    outcome = builder.run("update", SECOND, "1.1.0", former=FIRST)
    assert outcome.status == "ok", outcome.log
    assert builder.branches() == ["ml-platform/1.1.0"]


def test_a_foreign_branch_of_the_same_name_is_not_overwritten(builder: Builder) -> None:
    builder.run("create", FIRST, "1.0.0")
    clone = builder.user_commits("notes.md", "mine\n")
    builder.git("push", "--quiet", "origin", "main:ml-platform/1.1.0", folder=clone)
    before = builder.git("show-ref")
    outcome = builder.run("update", SECOND, "1.1.0", former=FIRST)
    assert outcome.status == "branch-taken"
    assert builder.git("show-ref") == before


# ---- credentials ----

HELPER = r"""#!/bin/bash
case "$*" in
  "s3 cp --only-show-errors "*) cp "${4/s3:\/\/artifacts/BUCKET}" "$5" ;;
  "codecommit credential-helper get")
    # Like AWS's: it signs the path as well, so git has to hand it over (credential.UseHttpPath).
    grep --quiet '^path=git-http/' && printf 'username=signed\npassword=signature\n' ;;
  *) exit 252 ;;
esac
"""


@contextmanager
def server(repositories: Path, *, authorization: str) -> Iterator[str]:
    """Serve repositories over HTTP to whoever sends the header, with git's own program; yield the address."""
    backend = f"{subprocess.check_output(['git', '--exec-path'], text=True).strip()}/git-http-backend"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != authorization:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="connection"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.removeprefix("/git-http").partition("?")
            variables = {
                "GIT_PROJECT_ROOT": str(repositories),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "builder",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "PATH": os.environ["PATH"],
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = subprocess.run([backend], env=variables, input=body, capture_output=True, check=True).stdout
            head, content = answer.split(b"\r\n\r\n", 1)
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in (fields | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/git-http"
        finally:
            running.shutdown()


@pytest.mark.parametrize(
    ("password", "status"), [("signature", "ok"), ("another signature", "repository-missing")], ids=["right", "wrong"]
)
def test_git_without_configuration_has_the_credentials_of_the_builds_role(
    builder: Builder, password: str, status: str
) -> None:
    (builder.root / "bin" / "aws").write_text(HELPER.replace("BUCKET", str(builder.bucket)))
    builder.git("config", "http.receivepack", "true")
    builder.git_config.write_text("")
    authorization = f"Basic {base64.b64encode(f'signed:{password}'.encode()).decode()}"
    with server(builder.remote.parent, authorization=authorization) as address:
        outcome = builder.run("create", FIRST, "1.0.0", git_url=f"{address}/{builder.remote.name}")
        assert outcome.status == status, outcome.log
        if status == "ok":
            assert builder.files("main") == FIRST
            outcome = builder.run("update", SECOND, "1.1.0", former=FIRST, git_url=f"{address}/{builder.remote.name}")
            assert outcome.status == "ok", outcome.log


def test_the_build_uses_codebuilds_credentials_for_git() -> None:
    spec = yaml.safe_load(BUILDSPEC.read_text(encoding="utf-8"))
    assert spec["env"]["git-credential-helper"] is True
    assert spec["env"]["variables"]["GIT_TERMINAL_PROMPT"] == "0", "git must fail instead of asking for a password"

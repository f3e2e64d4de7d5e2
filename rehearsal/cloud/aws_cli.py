"""Stand-in for the AWS command line in builds: ``aws s3 cp [--only-show-errors] SOURCE TARGET`` with one S3 URI."""

from __future__ import annotations

import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def copy(source: str, target: str) -> None:
    """Copy one object between a bucket and a file; ``-`` and folders are not supported.

    Raises:
        ClientError: S3 refuses it.
    """
    s3 = boto3.client("s3")
    if source.startswith("s3://"):
        bucket, key = _split(source)
        path = Path(target)
        s3.download_file(bucket, key, str(path / Path(key).name if path.is_dir() else path))
    else:
        bucket, key = _split(target)
        s3.upload_file(source, bucket, key + Path(source).name if key.endswith("/") or not key else key)


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status, 1 when AWS refuses and 252 for what this stand-in does not know."""
    words = [argument for argument in arguments if not argument.startswith("--")]
    if words[:2] != ["s3", "cp"] or len(words) != 4 or set(arguments) - set(words) - {"--only-show-errors"}:
        print(f"aws: {' '.join(arguments)!r} is not part of the rehearsal's stand-in: use boto3", file=sys.stderr)
        return 252
    try:
        copy(words[2], words[3])
    except (ClientError, BotoCoreError, OSError) as error:
        print(f"fatal error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

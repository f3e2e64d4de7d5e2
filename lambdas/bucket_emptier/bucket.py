"""S3: removes what is in a bucket, a thousand object versions at a time."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError


class Bucket:
    """One bucket.

    Args:
        name: Name of the bucket.
        account_id: Account that must own it, so that a foreign bucket of that name is never touched.
    """

    def __init__(self, name: str, account_id: str) -> None:
        self._client = boto3.client("s3", config=CONFIG)
        self._bucket = {"Bucket": name, "ExpectedBucketOwner": account_id}

    def remove_some(self) -> bool:
        """Remove up to 1,000 unfinished uploads, or else up to 1,000 versions and delete markers.

        Returns:
            Whether there may be more.

        Raises:
            CustomResourceError: S3 refused to delete some of them, e.g. because of object lock.
        """
        try:
            uploads = self._client.list_multipart_uploads(**self._bucket).get("Uploads", [])
            for upload in uploads:
                self._abort(upload["Key"], upload["UploadId"])
            if uploads:
                return True
            page = self._client.list_object_versions(**self._bucket, MaxKeys=1000)
            entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if not entries:
                return False
            self._delete([{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries])
        except ClientError as err:
            if err.response["Error"]["Code"] == "NoSuchBucket":
                return False
            raise
        return True

    def _delete(self, objects: list[dict[str, str]]) -> None:
        answer = self._client.delete_objects(**self._bucket, Delete={"Objects": objects, "Quiet": True})
        errors = answer.get("Errors", [])
        if errors:
            first = errors[0]
            raise CustomResourceError(
                f"S3 did not delete {len(errors)} of {len(objects)} object versions in {self._bucket['Bucket']}, first "
                f"{first.get('Key')!r}: {first.get('Code')} {first.get('Message')}. Lift what protects them (object "
                f"lock, bucket policy), then delete the stack again."
            )

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self._client.abort_multipart_upload(**self._bucket, Key=key, UploadId=upload_id)
        except ClientError as err:
            if err.response["Error"]["Code"] != "NoSuchUpload":  # finished or aborted since it was listed
                raise

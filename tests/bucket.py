"""A bucket on an S3-compatible server of the tests' own, on loopback. A pytest plugin: a test module names it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

KEY_ID, SECRET = "test-key-id", "test-secret"
REGION = "eu-central-1"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    endpoint: str
    url: str
    client: Any
    opened: list[Any] = field(default_factory=list)

    def blobs(self) -> Any:
        from hub.store.blobs.s3 import S3Blobs, S3Place

        place = S3Place(url=self.url, endpoint=self.endpoint, region=REGION, key_id=KEY_ID, secret=SECRET)
        self.opened.append(S3Blobs(place))
        return self.opened[-1]

    def settings(self, folder: Path) -> dict[str, str]:
        """The settings of a hub that keeps its blobs here."""
        (folder / "s3.id").write_text(KEY_ID)
        (folder / "s3.secret").write_text(SECRET)
        return {
            "blobs": self.url,
            "blobs_endpoint": self.endpoint,
            "blobs_key_id_file": str(folder / "s3.id"),
            "blobs_secret_file": str(folder / "s3.secret"),
        }

    def objects(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="hub-blobs")
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def unfinished(self) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket="hub-blobs").get("Uploads", [])
        return [each["Key"] for each in found]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[str, Any]]:
    pytest.importorskip("obstore", reason="obstore is not installed")
    boto3 = pytest.importorskip("boto3", reason="moto's server is not installed")
    server_module = pytest.importorskip("moto.server", reason="moto's server is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    login = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "region_name": REGION}
    client = boto3.client("s3", endpoint_url=endpoint, **login)
    client.create_bucket(Bucket="hub-blobs", CreateBucketConfiguration={"LocationConstraint": REGION})
    yield endpoint, client
    client.close()
    server.stop()


@pytest.fixture
def bucket(s3_server: tuple[str, Any]) -> Iterator[Bucket]:
    """An empty bucket."""
    endpoint, client = s3_server
    made = Bucket(endpoint=endpoint, url="s3://hub-blobs/contents", client=client)
    for name in made.objects():
        client.delete_object(Bucket="hub-blobs", Key=name)
    yield made
    for blobs in made.opened:
        blobs.close()

"""A store, a host of endpoints and models to deploy, for each adapter of the port."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from PIL import Image

from object_store.store import ObjectStore
from resources.aws.session import AwsSession
from resources.endpoints.endpoint_host import Endpoints
from resources.endpoints.local import LocalEndpoints
from resources.endpoints.sagemaker import SageMakerEndpoints
from serving.deployments import Deployment, EndpointStatus, Stage
from serving.endpoint.address import read_address
from tests.patience import WAIT_S
from tests.testbed.account import IMAGE, role
from tests.testbed.bed import TestBed


def picture(colour: str = "red", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, kind)
    return file.getvalue()


@dataclass
class Shop:
    """A store, its port, and models to put into it."""

    folder: Path
    endpoints: Endpoints
    publish: Callable[..., tuple[str, str]]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> ObjectStore:
        return self.endpoints.objects

    @property
    def project(self) -> str:
        return self.endpoints.project

    def model(self, version: str, **fields: object) -> str:
        """Publish a model that no other version equals; its digest."""
        scratch = self.folder / "published"
        self.digests[version], key = self.publish(scratch, version, **fields)
        self.replace(key, (scratch / key).read_bytes())
        shutil.rmtree(scratch)
        return self.digests[version]

    def replace(self, key: str, data: bytes) -> None:
        self.store.delete(key)
        self.store.put(key, data)

    def deploy(
        self, stage: Stage, version: str, on_event: Callable[[str], object] = lambda _: None
    ) -> EndpointStatus:
        deployment = Deployment(
            stage=stage,
            model_version=version,
            digest=self.digests.get(version, "f" * 64),
            model_key=f"models/{version}/output/model.tar.gz",
            deployed_by="ann",
            reason="because",
            run_id="run-1",
        )
        return self.endpoints.deploy(deployment, on_event)

    def answering(self, stage: Stage = "prod") -> str:
        """The model version that answers, over HTTP."""
        return str(self.endpoints.invoke(stage, picture(), "image/png")["model_version"])

    def running(self) -> AbstractContextManager[str]:
        return self.endpoints.hosting(log_file=self.folder / "host.log", start_timeout_s=WAIT_S)


@dataclass
class LocalShop(Shop):
    """With a host of one's own, which can be killed."""

    @property
    def local(self) -> LocalEndpoints:
        assert isinstance(self.endpoints, LocalEndpoints)
        return self.endpoints

    @property
    def store_dir(self) -> Path:
        return self.folder / "a störe"

    def kill(self) -> None:
        """kill -9 the host; its address file stays behind."""
        process = self.process()
        process.kill()
        process.wait(WAIT_S)

    def process(self) -> psutil.Process:
        address = read_address(self.local.address_path)
        assert address is not None
        return psutil.Process(address.pid)


def local_shop(folder: Path, publish: Callable[..., tuple[str, str]], port: int = 9) -> LocalShop:
    store = ObjectStore(url=(folder / "a störe").as_uri())
    store.ensure()
    endpoints = LocalEndpoints(
        store=store,
        project="shop",
        address_file=str(folder / "run" / "endpoint.json"),
        default_url=f"http://127.0.0.1:{port}",
        deploy_timeout_s=30,
    )
    return LocalShop(folder, endpoints, publish)


def sagemaker_shop(folder: Path, publish: Callable[..., tuple[str, str]], bed: TestBed) -> Shop:
    """With a project, and so stacks and endpoints, of its own."""
    bucket = bed.bucket()
    store = ObjectStore(url=f"s3://{bucket}/shop")
    store.ensure()
    endpoints = SageMakerEndpoints(
        session=AwsSession(),
        store=store,
        project=bucket,
        image_uri=IMAGE,
        execution_role_arn=role("endpoints"),
        parameters={
            "CanaryPercentage": "0",
            "CanaryWaitSeconds": "0",
            "TerminationWaitSeconds": "0",
        },
        deploy_timeout_s=120,
        poll_s=0.1,
    )
    return Shop(folder, endpoints, publish)


def records(shop: Shop, stage: Stage = "prod") -> Iterator[str]:
    return (record.model_version for record in shop.endpoints.history(stage))

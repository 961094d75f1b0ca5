"""``imgclf doctor`` on profile aws: bucket, queue, key, images."""

import json

import pytest

from tests.contract.imgclf_dagster.doctor.world import World

pytestmark = pytest.mark.contract


def test_the_bucket_is_in_another_region(world: World) -> None:
    name = f"{world.account.project}-eu"
    world.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    world.aws |= {"bucket": name, "arrivals_queue_url": ""}
    found = world.finding("bucket")
    assert found.health == "failed"
    assert "set aws.region to eu-west-1" in found.remedy


def test_the_bucket_is_not_there(world: World) -> None:
    world.aws |= {"bucket": "doctor-nowhere", "arrivals_queue_url": ""}
    ill = {f.what: f for f in world.looks() if f.health != "ok"}
    assert ill["bucket"].detail == "there is no bucket doctor-nowhere"
    assert "`imgclf deploy foundation`" in ill["bucket"].remedy
    # The roles have no rights on a bucket of that name, which is true, too.
    assert "store" not in ill
    assert all("doctor-nowhere" in f"{f.detail}" for f in ill.values())


def test_the_bucket_denies_access(own_world: World) -> None:
    own_world.without("OrchestratorRole", "s3:ListBucket")
    ill = {f.what: f for f in own_world.looks() if f.health != "ok"}
    assert set(ill) == {"bucket", "permissions of the caller"}
    assert "allow s3:ListBucket" in ill["bucket"].remedy
    assert f"role {own_world.account.project}-us-east-1-orchestrator" in ill["bucket"].detail
    assert "s3:ListBucket" in ill["permissions of the caller"].detail
    assert "explicit Deny" in ill["permissions of the caller"].detail


def test_the_public_may_be_let_in(own_world: World) -> None:
    s3, bucket = own_world.client("s3"), own_world.aws["bucket"]
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    assert "`imgclf deploy foundation` again" in own_world.only("public access", "warning").remedy
    s3.delete_public_access_block(Bucket=bucket)
    assert bucket in own_world.only("public access", "warning").detail


def test_the_queue_is_not_there(world: World) -> None:
    world.aws["arrivals_queue_url"] += "-gone"
    ill = {f.what: f for f in world.looks() if f.health != "ok"}
    assert ill["arrivals"].health == "failed"
    assert "aws.arrivals_queue_url" in ill["arrivals"].remedy


def test_nobody_notifies_the_queue(own_world: World) -> None:
    s3, bucket = own_world.client("s3"), own_world.aws["bucket"]
    reported = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    found = own_world.only("arrivals", "failed")
    assert "does not notify" in found.detail
    assert "`imgclf deploy foundation` again" in found.remedy
    for entry in reported:  # a prefix that the line does not use
        entry["Filter"]["Key"]["FilterRules"] = [{"Name": "prefix", "Value": "raw/"}]
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": reported}
    )
    own_world.only("arrivals", "failed")


def test_the_queue_has_no_dead_letters(own_world: World) -> None:
    own_world.client("sqs").set_queue_attributes(
        QueueUrl=own_world.aws["arrivals_queue_url"], Attributes={"RedrivePolicy": ""}
    )
    assert "dead-letter" in own_world.only("arrivals", "warning").detail


def test_without_a_queue_the_bucket_is_listed(world: World) -> None:
    world.aws["arrivals_queue_url"] = ""
    assert world.ill() == []


def test_the_key_is_disabled(own_world: World) -> None:
    kms, arn = own_world.client("kms"), own_world.aws["kms_key_arn"]
    kms.disable_key(KeyId=arn.rpartition("/")[2])
    assert own_world.only("encryption", "failed").remedy == f"aws kms enable-key --key-id {arn}"
    kms.schedule_key_deletion(KeyId=arn.rpartition("/")[2], PendingWindowInDays=7)
    assert "cancel-key-deletion" in own_world.only("encryption", "failed").remedy


def test_the_image_cannot_be_taken(world: World) -> None:
    world.as_administrator()  # the orchestrator may look at its own repository only
    registry = world.aws["image_uri"].partition("/")[0]
    for uri, says in (
        (f"{registry}/{world.account.project}:2.0.0", "is not there"),
        (f"{registry}/{world.account.project}@sha256:{'f' * 64}", "is not there"),
        (f"{registry}/other-repository:1.0.0", "is not there"),
        ("docker.io/imgclf:1.0.0", "is not in ECR"),
        (registry.replace("us-east-1", "eu-west-1") + "/x:1", "is in eu-west-1"),
    ):
        world.aws["image_uri"] = uri
        found = world.finding("image")
        assert found.health == "failed"
        assert f"{uri} {says}" in found.detail
        assert "push it" in found.remedy


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ],
)
def test_the_image_has_a_format_that_endpoints_refuse(world: World, kind: str) -> None:
    repository, tag = world.account.project, kind.rpartition(".")[2].replace("+", "-")
    world.client("ecr").put_image(
        repositoryName=repository,
        imageManifest=json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {}}),
        imageManifestMediaType=kind,
        imageTag=tag,
    )
    world.aws["image_uri"] = f"{world.aws['image_uri'].rpartition(':')[0]}:{tag}"
    found = world.only("image", "failed")
    assert f"is {kind}" in found.detail
    assert "imgclf deploy image" in found.remedy
    assert f"--repository-name {repository} --image-ids imageTag={tag}" in found.remedy


def test_gpus_need_an_image_of_their_own(world: World) -> None:
    world.aws["training"] = {"instance_type": "ml.g5.xlarge", "spot": True}
    found = world.only("gpu image", "failed")
    assert "aws.training.instance_type ml.g5.xlarge" in found.detail
    assert "imgclf deploy image --gpu" in found.remedy
    assert "aws.gpu_image_uri" in found.remedy
    world.aws["gpu_image_uri"] = world.aws["image_uri"]
    assert world.ill() == []


def test_half_a_vpc(world: World) -> None:
    world.aws["subnets"] = ["subnet-1"]
    ill = {f.what: f for f in world.looks() if f.health != "ok"}
    assert "must both be set" in ill["aws settings"].detail
    # Nor may the roles make network interfaces: that foundation was deployed without UsesVpc.
    assert "ec2:CreateNetworkInterface" in ill["role of the jobs"].detail

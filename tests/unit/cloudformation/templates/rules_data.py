"""Rules of what holds data: buckets, keys, queues, logs, databases, images."""

from collections.abc import Iterator

from tests.unit.cloudformation.templates.policies import Statement, statements
from tests.unit.cloudformation.templates.rules import rule
from tests.unit.cloudformation.templates.template import (
    Template,
    branches,
    first,
    items,
    references,
)


@rule
def buckets_are_shut(template: Template) -> Iterator[str]:
    """Encrypted, versioned, owned by their owner, nothing public, reached by TLS only."""
    block = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    tls = {
        name
        for logical_id, properties in template.of_type("AWS::S3::BucketPolicy")
        for statement in statements(template)
        if statement.where.startswith(f"{logical_id}/") and _refuses_plain_http(statement)
        for name in references(properties["Bucket"])
    }
    for logical_id, properties in template.of_type("AWS::S3::Bucket"):
        shut = properties.get("PublicAccessBlockConfiguration", {})
        if not all(str(shut.get(key)).lower() == "true" for key in block):
            yield f"{logical_id} can be made public"
        if "ServerSideEncryptionConfiguration" not in properties.get("BucketEncryption", {}):
            yield f"{logical_id} has no encryption"
        if properties.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{logical_id} has no versions"
        owners = properties.get("OwnershipControls", {}).get("Rules", [{}])
        if owners[0].get("ObjectOwnership") != "BucketOwnerEnforced":
            yield f"{logical_id} lets others own objects"
        if logical_id not in tls:
            yield f"{logical_id} is reached without TLS"


def _refuses_plain_http(statement: Statement) -> bool:
    condition = statement.conditions.get("Bool", {}).get("aws:SecureTransport")
    return (
        not statement.allows
        and str(condition).lower() == "false"
        and ("*", "*") in statement.principals
    )


@rule
def uploads_that_broke_off_go(template: Template) -> Iterator[str]:
    """Parts of uploads that were never completed are paid for, and are seen nowhere."""
    for logical_id, properties in template.of_type("AWS::S3::Bucket"):
        rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
        if not any("AbortIncompleteMultipartUpload" in entry for entry in rules):
            yield f"{logical_id} keeps incomplete uploads"


@rule
def keys_rotate(template: Template) -> Iterator[str]:
    """A KMS key gets new material every year."""
    for logical_id, properties in template.of_type("AWS::KMS::Key"):
        if template.values(properties.get("EnableKeyRotation", False)) != {"true"}:
            yield f"{logical_id} does not rotate"


@rule
def queues_lose_nothing(template: Template) -> Iterator[str]:
    """A message that cannot be handled ends in a dead-letter queue; all are encrypted."""
    queues = dict(template.of_type("AWS::SQS::Queue"))
    dead = {
        name
        for properties in queues.values()
        for name in references(properties.get("RedrivePolicy", {}))
    }
    for logical_id, properties in queues.items():
        if "RedrivePolicy" not in properties and logical_id not in dead:
            yield f"{logical_id} has no dead-letter queue"
        encrypted = template.values(properties.get("SqsManagedSseEnabled", False)) == {"true"}
        if not encrypted and "KmsMasterKeyId" not in properties:
            yield f"{logical_id} is not encrypted"


@rule
def topics_are_encrypted(template: Template) -> Iterator[str]:
    """With a key of ours: CloudWatch cannot publish under alias/aws/sns."""
    for logical_id, properties in template.of_type("AWS::SNS::Topic"):
        key = properties.get("KmsMasterKeyId")
        if not key or "alias/aws/sns" in str(key):
            yield f"{logical_id} is not encrypted with a key of ours"


@rule
def logs_end(template: Template) -> Iterator[str]:
    """Log groups are kept for a time that somebody chose."""
    for logical_id, properties in template.of_type("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in properties:
            yield f"{logical_id} is kept for ever"


@rule
def databases_are_private(template: Template) -> Iterator[str]:
    """Encrypted, unreachable from outside, backed up, and not deleted by mistake."""
    for logical_id, properties in template.of_type("AWS::RDS::DBInstance", "AWS::RDS::DBCluster"):
        if template.values(properties.get("StorageEncrypted", False)) != {"true"}:
            yield f"{logical_id} is not encrypted"
        if template.values(properties.get("PubliclyAccessible", True)) != {"false"}:
            yield f"{logical_id} may be public"
        protection = properties.get("DeletionProtection", False)
        reference = protection.get("Ref", "") if isinstance(protection, dict) else ""
        default = template.parameters.get(reference, {}).get("Default", protection)
        if str(default).lower() != "true":
            yield f"{logical_id} is not protected from deletion"
        if min(template.numbers(properties.get("BackupRetentionPeriod", 0))) < 1:
            yield f"{logical_id} may have no backups"
        if not (
            "ManageMasterUserPassword" in properties
            or "{{resolve:" in str(properties.get("MasterUserPassword"))
        ):
            yield f"{logical_id}: its password is no dynamic reference"


@rule
def images_stay_what_they_are(template: Template) -> Iterator[str]:
    """A tag is never moved to another image, and every image is scanned."""
    for logical_id, properties in template.of_type("AWS::ECR::Repository"):
        if properties.get("ImageTagMutability") != "IMMUTABLE":
            yield f"{logical_id} lets tags move"
        if properties.get("ImageScanningConfiguration", {}).get("ScanOnPush") is not True:
            yield f"{logical_id} does not scan"
        if "LifecyclePolicy" not in properties:
            yield f"{logical_id} grows for ever"


@rule
def nothing_is_open_to_the_world(template: Template) -> Iterator[str]:
    """From anywhere, only a load balancer's 443 may be reached; never all ports or protocols."""
    balanced = {
        name
        for _, properties in template.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer")
        for group in items(properties.get("SecurityGroups", []))
        for name in references(group)
    }
    for logical_id, properties in template.of_type("AWS::EC2::SecurityGroup"):
        for entry in items(properties.get("SecurityGroupIngress", [])):
            yield from _ingress(template, logical_id, entry, logical_id in balanced)
    for logical_id, properties in template.of_type("AWS::EC2::SecurityGroupIngress"):
        groups = references(properties.get("GroupId", {}))
        yield from _ingress(template, logical_id, properties, bool(groups & balanced))


def _ingress(template: Template, where: str, entry: dict, balanced: bool) -> Iterator[str]:
    if str(entry.get("IpProtocol")) == "-1":
        yield f"{where} opens every protocol"
    for key in ("CidrIp", "CidrIpv6"):
        for cidr in branches(entry.get(key)) if key in entry else []:
            port = first(entry.get("FromPort"))
            reference = cidr.get("Ref", "") if isinstance(cidr, dict) else ""
            default = template.parameters.get(reference, {}).get("Default", "")
            if not balanced:
                yield f"{where} opens port {port} to addresses"
            if (cidr in _WORLD or default in _WORLD) and port not in (443, "443"):
                yield f"{where} opens port {port} to the world"


_WORLD = ("0.0.0.0/0", "::/0")

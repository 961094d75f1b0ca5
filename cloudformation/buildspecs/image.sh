#!/usr/bin/env bash
# image.sh VARIANT TAG: build the image of this checkout, look at it, push it to $REPOSITORY_URI.
# The repository's tags are immutable: what was pushed before is not built again.
set -euo pipefail
variant=$1 tag=$2
: "${REPOSITORY_URI:?is not set: the URI of the ECR repository (output ImageRepositoryUri)}"
# The only format that SageMaker hosting takes: no OCI manifest, no index of several images.
wanted=application/vnd.docker.distribution.manifest.v2+json

# The media type of the image with this tag; fails if there is none.
format() {
  aws ecr describe-images --repository-name "${REPOSITORY_URI#*/}" --image-ids "imageTag=$tag" \
    --query 'imageDetails[0].imageManifestMediaType' --output text
}

check_format() {
  if [ -n "$1" ] && [ "$1" != "$wanted" ]; then
    echo "$REPOSITORY_URI:$tag is in ECR as $1, which SageMaker refuses (it takes $wanted)." >&2
    echo "Delete it, as its tag cannot be pushed over, and run this stage again:" >&2
    echo "  aws ecr batch-delete-image --repository-name ${REPOSITORY_URI#*/} --image-ids imageTag=$tag" >&2
    exit 1
  fi
}

if found=$(format 2>/dev/null); then
  check_format "$found"
  echo "$REPOSITORY_URI:$tag was built before"
  exit 0
fi
# Provenance or an SBOM would make it an image index; Docker's own default may be OCI.
docker buildx build \
  --platform linux/amd64 \
  --provenance=false \
  --sbom=false \
  --build-arg "VARIANT=$variant" \
  --build-arg "BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim-bookworm}" \
  --build-arg "REVISION=${tag%-gpu}" \
  --output "type=docker,name=$REPOSITORY_URI:$tag,oci-mediatypes=false" .
# An image that cannot even import its programs is not pushed.
docker run --rm --user imgclf "$REPOSITORY_URI:$tag" \
  python -c "import imgclf_dagster.definitions, serving.container, training.launcher"
docker push "$REPOSITORY_URI:$tag"
check_format "$(format || true)"

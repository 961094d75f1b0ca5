#!/usr/bin/env bash
# image.sh VARIANT TAG: build the image of this checkout, look at it, push it to $REPOSITORY_URI.
# The repository's tags are immutable: what was pushed before is not built again.
set -euo pipefail
variant=$1 tag=$2
: "${REPOSITORY_URI:?is not set: the URI of the ECR repository (output ImageRepositoryUri)}"

if aws ecr describe-images --repository-name "${REPOSITORY_URI#*/}" --image-ids "imageTag=$tag" >/dev/null 2>&1; then
  echo "$REPOSITORY_URI:$tag was built before"
  exit 0
fi
docker build \
  --build-arg "VARIANT=$variant" \
  --build-arg "BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim-bookworm}" \
  --build-arg "REVISION=${tag%-gpu}" \
  --tag "$REPOSITORY_URI:$tag" .
# An image that cannot even import its programs is not pushed.
docker run --rm --user imgclf "$REPOSITORY_URI:$tag" \
  python -c "import imgclf_dagster.definitions, serving.container, training.launcher"
docker push "$REPOSITORY_URI:$tag"

# One image for training, serving and the orchestrator.
#
#   docker build -t imgclf .                                      CPU
#   docker build -t imgclf:gpu --build-arg VARIANT=gpu .          CUDA, from PyTorch's own wheels
#
# For SageMaker build it by `imgclf deploy image`, or with the options in docs/aws.md: its endpoints
# take Docker's manifests only, and Docker's default may be OCI.
#
# SageMaker runs it with `serve`, or with the entry point of a job; ECS with Dagster's commands.
# There is no ENTRYPOINT on purpose: Dagster's EcsRunLauncher cannot take one off.
ARG BASE_IMAGE=python:3.11-slim-bookworm
# NVIDIA's own image of the CUDA that PyTorch's wheels in constraints.txt are built for.
ARG CUDA_IMAGE=nvcr.io/nvidia/cuda:13.2.1-base-ubuntu24.04
ARG VARIANT=cpu

# cuda-compat, for hosts whose driver is older than that CUDA: training/container/gpus.py takes it where it is
# needed. Only the stage of the chosen variant is built.
FROM ${CUDA_IMAGE} AS compat-gpu
RUN mkdir -p /opt/cuda-compat && cp -a /usr/local/cuda-13.2/compat/. /opt/cuda-compat/ \
 && test -e /opt/cuda-compat/libcuda.so.1
FROM ${BASE_IMAGE} AS compat-cpu
RUN mkdir -p /opt/cuda-compat
FROM compat-${VARIANT} AS compat

FROM ${BASE_IMAGE} AS build
ARG VARIANT=cpu
WORKDIR /src
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_BUILD_CONSTRAINT=/src/constraints.txt VIRTUAL_ENV=/opt/imgclf
COPY constraints.txt pyproject.toml ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check uv -c constraints.txt \
 && uv venv "$VIRTUAL_ENV"
# PyTorch publishes the wheels without CUDA (0.2 instead of 3 GB) on an index of its own; uv knows it.
RUN case "$VARIANT" in \
      cpu) uv pip install --no-deps --torch-backend cpu -c constraints.txt torch torchvision ;; \
      gpu) ;; \
      *) echo "VARIANT is $VARIANT; it must be cpu or gpu" >&2; exit 1 ;; \
    esac
# What changes seldom in a layer of its own, without our code.
RUN uv pip install -r pyproject.toml --extra aws --extra weights -c constraints.txt
COPY LICENSE README.md ./
COPY errors errors
COPY guard guard
COPY object_store object_store
COPY imgclf_dagster imgclf_dagster
COPY assets assets
COPY resources resources
COPY labelling labelling
COPY training training
COPY serving serving
COPY ui ui
COPY cloudformation cloudformation
RUN uv pip install --no-deps . \
 && printf '#!/bin/sh\nexec python -m serving.container serve\n' > "$VIRTUAL_ENV/bin/serve" \
 && printf '#!/bin/sh\nexec python -m training.launcher training.train\n' > "$VIRTUAL_ENV/bin/train" \
 && chmod 755 "$VIRTUAL_ENV/bin/serve" "$VIRTUAL_ENV/bin/train"

FROM ${BASE_IMAGE} AS runtime
ARG REVISION=unknown
LABEL org.opencontainers.image.title="imgclf-dagster" \
      org.opencontainers.image.description="Continuous image classification: training, serving, orchestration" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin imgclf \
 && install --directory --owner=imgclf --group=imgclf /var/lib/imgclf /var/lib/imgclf/dagster /opt/ml
COPY --from=build /opt/imgclf /opt/imgclf
COPY --from=compat /opt/cuda-compat /opt/cuda-compat
COPY imgclf_dagster/deployment/dagster-aws.yaml /var/lib/imgclf/dagster/dagster.yaml
COPY imgclf_dagster/deployment/workspace-aws.yaml /var/lib/imgclf/dagster/workspace.yaml
ENV PATH=/opt/imgclf/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    IMGCLF_HOME=/var/lib/imgclf \
    DAGSTER_HOME=/var/lib/imgclf/dagster \
    MPLCONFIGDIR=/tmp/matplotlib \
    TORCH_HOME=/tmp/torch \
    DAGSTER_DISABLE_TELEMETRY=yes \
    GRADIO_ANALYTICS_ENABLED=False \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=1 \
    PL_DISABLE_TELEMETRY=1 \
    HF_HUB_OFFLINE=1 \
    MLFLOW_LOGGING_LEVEL=WARNING
WORKDIR /var/lib/imgclf
EXPOSE 8080
# For `docker run`; SageMaker pings by itself, and each ECS task has a check of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/ping', timeout=2)"]
# SageMaker starts containers as root, and supports no USER: /opt/ml is root's
# (docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html). So `serve` and
# every job hand over what they write and become this user before anything else
# (training/container/privileges.py); ECS tasks are started as this user to begin with.
ENV IMGCLF_RUN_AS=imgclf
# By these the container runtime knows that it is to bring the GPUs and their driver along.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
CMD ["serve"]

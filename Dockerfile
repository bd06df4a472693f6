# Two stages: everything is installed by its hash into a virtual environment, and that environment alone is shipped.
#   docker build -t resilience-operator:0.1.0 .
# BASE is an image with Python 3.11 or newer; pin it by digest in production: --build-arg BASE=python@sha256:...
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all:
WORKDIR /src
COPY requirements.lock requirements-dev.lock ./
RUN python -m venv /opt/resilience \
 && /opt/resilience/bin/pip install --require-hashes -r requirements.lock
# The build tool comes by its hash as well, and stays in this stage.
RUN python -m venv /opt/build \
 && awk '/^setuptools==/ {found = 1} found {print} found && !/\\$/ {exit}' requirements-dev.lock > build.lock \
 && /opt/build/bin/pip install --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY crds crds
COPY operator operator
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
 && /opt/resilience/bin/pip install --no-deps --no-index /dist/*.whl \
 && /opt/resilience/bin/pip uninstall --yes pip \
 && python -m compileall -q /opt/resilience

FROM ${BASE}
COPY --from=build /opt/resilience /opt/resilience
ENV PATH=/opt/resilience/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["resilience-operator"]
CMD ["run"]

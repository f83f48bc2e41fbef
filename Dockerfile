# facetrack in a container: for CPUs by default, for NVIDIA GPUs with PyTorch's CUDA build.
#
#     docker build -t facetrack .
#     docker build -t facetrack:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
#
#     docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/data" facetrack track clip.mp4 --out results
#     docker run --rm --gpus all -u ... facetrack:cuda track clip.mp4 --out results

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
# The index of PyTorch's CPU builds. PyPI's own build for Linux brings gigabytes of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY facetrack facetrack
COPY weights weights
COPY examples/astronaut.mp4 examples/astronaut.mp4
# --prefer-binary: dlib is never compiled, the slim image has no compiler.
RUN python -m venv /opt/facetrack \
    && /opt/facetrack/bin/pip install --no-cache-dir --prefer-binary \
        -c constraints.txt --extra-index-url "${TORCH_INDEX}" . \
    && /opt/facetrack/bin/pip check

FROM python:${PYTHON}-slim-bookworm
# OpenCV needs these two. Debian's own updates fix their faults, so no versions are pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/facetrack /opt/facetrack
# Any user may run it (-u), so all may write into the home, in which fetched weights lie.
ENV PATH=/opt/facetrack/bin:$PATH HOME=/home/facetrack
RUN useradd --uid 1000 --create-home facetrack && chmod 1777 "${HOME}"
USER 1000
WORKDIR /data
ENTRYPOINT ["facetrack"]
CMD ["--help"]

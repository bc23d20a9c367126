# docker build --target product -t sar2opt .            the program:  docker run -v "$PWD:/work" sar2opt predict A.tif B.tif OUT.tif
# docker build --target contest -t sn9 .                the contest:  docker run -v DATA:/data:ro -v OUT:/work sn9 ./test.sh /data/publictest /work/solution.zip
# Nothing is fetched when they run. docs/docker.md says more.

FROM python:3.11-slim AS packages
# LightGBM needs OpenMP's runtime, which the slim image lacks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 analyst \
    && mkdir -p /data /work \
    && chown analyst /work
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/solution
COPY requirements.txt ./
# Wheels for CPUs; those of https://pypi.org/simple bring CUDA and 5 GB more.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN grep -E '^torch(vision)?==' requirements.txt >torch.txt \
    && pip install --no-deps --index-url "$TORCH_INDEX" --requirement torch.txt
RUN sed '/^# tests$/,$d' requirements.txt >product.txt \
    && pip install --requirement product.txt
# As in solution/environment, which the scripts read.
ENV NO_ALBUMENTATIONS_UPDATE=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 MALLOC_ARENA_MAX=1
ENV MPLCONFIGDIR=/tmp/matplotlib

FROM packages AS contest
COPY . ./
ENV SN9_SET_UP=done
RUN ln -s /opt/venv .venv \
    && mkdir -p runs \
    && chown -R analyst folds runs
USER analyst
CMD ["bash"]

FROM packages AS product
COPY . ./
RUN pip install --no-deps . \
    && rm -rf build
USER analyst
WORKDIR /work
ENTRYPOINT ["sar2opt"]
CMD ["--help"]

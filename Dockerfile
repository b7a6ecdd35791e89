# The five binaries in one image; the command names the one to run. See docs/docker.md.

# Other images may stand in, such as a mirror's.
ARG BUILDER=rust:1.95-bookworm
ARG RUNTIME=debian:bookworm-slim

# Only what decides which dependencies are built: manifests, the lock, and empty sources in place of ours.
FROM ${BUILDER} AS manifests
WORKDIR /build
COPY . .
RUN find . -type f ! -name Cargo.toml ! -path ./Cargo.lock ! -path './.cargo/*' \
        ! -path './*/src/lib.rs' ! -path './*/src/main.rs' ! -path './*/src/bin/*.rs' ! -path './*/tests/*.rs' -delete \
    && find . -type d -empty -delete \
    && find . -name '*.rs' -exec sh -c 'echo "fn main() { }" > "$1"' stub {} \;

# Copied by content, so this layer is built again only when the manifests change. g++, make and perl come with the
# image: librdkafka, curl and OpenSSL are compiled.
FROM ${BUILDER} AS build
WORKDIR /build
COPY --from=manifests /build .
ARG BUILD="cargo build --release --locked -p producer -p processor -p sink -p cli -p simulator"
RUN ${BUILD}
COPY . .
# What `--version` names: no repository is here. `docker build --build-arg ANTHROPIC_GRAPH_COMMIT=$(git rev-parse --short=12 HEAD)`
ARG ANTHROPIC_GRAPH_COMMIT=unknown
# The sources may be older than what was made of the empty ones.
RUN find . -name '*.rs' -exec touch {} + \
    && ${BUILD} \
    && mkdir /binaries \
    && for binary in producer processor sink anthropic-graph simulator; do \
           strip -o "/binaries/$binary" "target/release/$binary" || exit 1; \
       done

FROM ${RUNTIME}
LABEL org.opencontainers.image.title="anthropic-graph" \
      org.opencontainers.image.description="Turns Anthropic organizations into a JupiterOne graph, through Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin anthropic-graph \
    && install -d -o anthropic-graph -g anthropic-graph -m 700 /var/lib/anthropic-graph
COPY --from=build /binaries/ /usr/local/bin/
USER anthropic-graph
WORKDIR /var/lib/anthropic-graph
# Health is asked of each service's admin endpoint: docker-compose.yml shows how.
CMD ["anthropic-graph", "--help"]

# All of Snug in an image that holds nothing else: `docker build -t snug .`
FROM rust:1.95-bookworm AS build
# Versions are those of the base image's own release of Debian.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends musl-tools nodejs npm \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV SNUG_DEV_TOOLS=/tools
# The tools by themselves: they change less often than the code.
COPY rust-toolchain.toml Cargo.lock ./
COPY scripts scripts
RUN scripts/setup static
COPY . .
RUN make static \
  && mkdir -p /image/data \
  && cp "target/$(uname -m)-unknown-linux-musl/release/snug" /image/snug

FROM scratch
COPY --from=build /image/snug /snug
COPY --from=build --chown=10001:10001 --chmod=0700 /image/data /data
USER 10001:10001
# Inside, it listens on every address; which of them the world sees is for `docker run --publish` to say. SQLite's temporary files go
# where something may be written.
ENV SNUG_ADDR=0.0.0.0:3000 SNUG_DATA=/data SQLITE_TMPDIR=/data
EXPOSE 3000
VOLUME /data
# In order: sockets are told to come back, requests under way are finished, everything is written.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=12s --start-period=30s --retries=3 CMD ["/snug", "health"]
ENTRYPOINT ["/snug"]
CMD ["serve"]

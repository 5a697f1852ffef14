# syntax=docker/dockerfile:1

# rust-toolchain.toml stays out of the build: the image's own toolchain is the one that it names.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin freshet \
    && strip --strip-all -o /usr/local/bin/freshet target/release/freshet

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 freshet \
    && useradd --uid 10001 --gid freshet --no-create-home --shell /usr/sbin/nologin freshet
COPY --from=build /usr/local/bin/freshet /usr/local/bin/freshet
# Inside a container the loopback address reaches nobody.
ENV FRESHET_CONFIG=/etc/freshet/freshet.toml \
    FRESHET_HTTP_LISTEN=0.0.0.0:9464
USER 10001:10001
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/local/bin/freshet", "status", "--ready"]
ENTRYPOINT ["/usr/local/bin/freshet"]
CMD ["run"]

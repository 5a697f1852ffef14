# Freshet's image: docker build --tag freshet .
# Its debug symbols: docker build --target debug --output type=local,dest=. .
# The base images' tags are pinned; deploy/README.md says how to pin their digests.

FROM rust:1.95-trixie AS manifest
COPY Cargo.toml Cargo.lock /given/
# Without tests, benches and examples: cargo refuses a Cargo.toml that names files which are not there.
RUN mkdir /manifest && cp /given/Cargo.lock /manifest \
    && awk '/^\[/ { left_out = /^\[\[(test|bench|example)\]\]/ } !left_out' /given/Cargo.toml > /manifest/Cargo.toml

FROM rust:1.95-trixie AS build
WORKDIR /build

# Everything but Freshet itself, in a layer that lasts until the manifest changes. The empty program must leave no trace, or cargo
# would take it for Freshet, whose files may be older.
COPY --from=manifest /manifest ./
ARG TARGETARCH
RUN --mount=type=cache,id=freshet-registry-$TARGETARCH,target=/usr/local/cargo/registry,sharing=locked \
    mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin freshet \
    && cargo clean --release --package freshet \
    && rm -r src

COPY . .
COPY --from=manifest /manifest ./

# The licences of all that is linked in. Without rust-toolchain.toml, the image's own toolchain is used.
RUN --mount=type=cache,id=freshet-registry-$TARGETARCH,target=/usr/local/cargo/registry,sharing=locked \
    python3 .ci/third-party-notices.py > /third-party-notices.txt

# The commit, which `freshet --version` and `freshet_build_info` show.
ARG REVISION=unknown
RUN --mount=type=cache,id=freshet-registry-$TARGETARCH,target=/usr/local/cargo/registry,sharing=locked \
    FRESHET_REVISION="$REVISION" cargo build --release --locked --bin freshet \
    && mkdir /out /lib-gcc \
    && objcopy --only-keep-debug target/release/freshet /out/freshet.debug \
    && objcopy --strip-all --add-gnu-debuglink=/out/freshet.debug target/release/freshet /usr/local/bin/freshet \
    && cp "/usr/lib/$(uname -m)-linux-gnu/libgcc_s.so.1" /lib-gcc/

# Kept with a release, so that the stack of a crash can be read.
FROM scratch AS debug
COPY --from=build /out/freshet.debug /freshet.debug

# glibc, the authorities' certificates, time zones; no shell, no package manager, and no TLS library beside Freshet's own.
FROM gcr.io/distroless/base-nossl-debian13:nonroot
ARG REVISION=unknown
ARG VERSION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Freshet" \
      org.opencontainers.image.description="Carries Segment events from RabbitMQ into Freshsales accounts, and loses none" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
# The one library of Freshet's that the base lacks, of the same Debian.
COPY --from=build /lib-gcc/libgcc_s.so.1 /usr/local/lib/libgcc_s.so.1
ENV LD_LIBRARY_PATH=/usr/local/lib
COPY LICENSE /usr/share/doc/freshet/LICENSE
COPY --from=build /third-party-notices.txt /usr/share/doc/freshet/third-party-notices.txt
COPY --from=build /usr/local/bin/freshet /usr/local/bin/freshet
# What one thread gave back serves another, which saves some MiB. Inside a container the loopback address reaches nobody.
ENV MALLOC_ARENA_MAX=2 \
    FRESHET_CONFIG=/etc/freshet/freshet.toml \
    FRESHET_HTTP_LISTEN=0.0.0.0:9464
USER 10001:10001
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/local/bin/freshet", "status", "--ready"]
ENTRYPOINT ["/usr/local/bin/freshet"]
CMD ["run"]

# What is typed often. `just` lists it; `bash .ci/run` is what a change must pass.

_list:
    @just --list

# The whole engine on example events, with stand-ins for Freshsales
demo *arguments:
    cargo run --release -- demo {{arguments}}

# What can be checked without running anything
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --locked
    cargo test --locked --test docs

# Pure logic
unit *filter:
    cargo test --locked --lib -- {{filter}}

# One suite (engine, daemon, sandbox, docs), or some tests of it: just suite daemon dead_letters::
suite name *filter:
    cargo test --locked --test {{name}} -- {{filter}}

# Random faults; the seed repeats a run. FRESHET_CHAOS=long takes longer
chaos seed="1":
    FRESHET_CHAOS_SEED={{seed}} cargo test --locked --test chaos -- --nocapture

# Everything that a change must pass
ci:
    bash .ci/run

//! Tests that need several crates at once; see the files beside `Cargo.toml`.

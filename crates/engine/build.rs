//! Bakes in where `make deps` puts ONNX Runtime, so that a built binary finds it without a variable being set.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ORT_DYLIB_PATH");
    // `.cargo/config.toml` gives the path for builds in this repository; a packager's own value goes before it.
    let path = std::env::var("ORT_DYLIB_PATH").unwrap_or_default();
    if Path::new(&path).is_absolute() {
        println!("cargo::rustc-env=UNSCENE_ORT_BUILT_WITH={path}");
    }
}

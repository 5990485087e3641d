//! Makes this package's tests find libtorch without LD_LIBRARY_PATH, and tells dependents where it is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // torch-sys tells it to direct dependents only.
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
        println!("cargo::metadata=LIBTORCH_LIB={folder}");
    }
}

//! Makes what is built with `train` find libtorch without LD_LIBRARY_PATH. `unscene-train` knows where it is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_UNSCENE_TRAIN_LIBTORCH_LIB");
    if let Ok(folder) = std::env::var("DEP_UNSCENE_TRAIN_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}

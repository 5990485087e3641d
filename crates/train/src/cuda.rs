use std::path::PathBuf;

use crate::TrainError;

/// Opens `libtorch_cuda.so` beside the libtorch in use, so that `Device::Cuda` works; nothing happens if there is none.
///
/// No symbol of that library is referenced, so that linkers leave it out; opening it registers the CUDA kernels. Call it
/// before CUDA is first asked for. Returns whether the library was found.
pub fn load_cuda() -> Result<bool, TrainError> {
    let Some(path) = library() else { return Ok(false) };
    // SAFETY: running the initialisers of libtorch's own library, which belongs to the libtorch already loaded.
    match unsafe { libloading::Library::new(&path) } {
        Ok(library) => {
            // Its kernels stay registered for the life of the process.
            std::mem::forget(library);
            Ok(true)
        }
        Err(source) => Err(TrainError::Cuda { path, source }),
    }
}

/// Beside `libtorch_cpu.so`, wherever the dynamic linker found that.
fn library() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let cpu = maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        path.ends_with("/libtorch_cpu.so").then_some(path)
    })?;
    let cuda = PathBuf::from(cpu).with_file_name("libtorch_cuda.so");
    cuda.exists().then_some(cuda)
}

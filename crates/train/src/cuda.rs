use std::path::PathBuf;

use tch::Device;

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

/// Makes sure that a device can be used.
///
/// # Errors
/// [`TrainError::Device`] says what there is instead.
pub fn open_device(device: Device) -> Result<(), TrainError> {
    let Device::Cuda(number) = device else { return Ok(()) };
    let has_library = load_cuda()?;
    let found = if has_library { tch::Cuda::device_count() } else { 0 };
    if (number as i64) < found {
        return Ok(());
    }
    let problem = match (has_library, found) {
        (false, _) => "this libtorch was built for the CPU; `make deps GPU=1` fetches the one with CUDA".into(),
        (true, 0) => "libtorch finds no GPU; look at `nvidia-smi`".into(),
        (true, found) => format!("there are {found} GPUs, the last is cuda:{}", found - 1),
    };
    Err(TrainError::Device { device: format!("cuda:{number}"), problem })
}

/// How many GPUs this libtorch can use; opens its CUDA library.
pub fn cuda_devices() -> usize {
    match load_cuda() {
        Ok(true) => usize::try_from(tch::Cuda::device_count()).unwrap_or(0),
        _ => 0,
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

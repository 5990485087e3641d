//! What decoding costs, which is done on the same cores as inference.

use anyhow::Result;
use unscene_media::{DecodeOptions, Decoder, Source, View};
use unscene_models::manifest::ClipInput;

/// CPU seconds of decoding and scaling the whole video on one thread, the least of three.
///
/// # Errors
/// When the video cannot be decoded.
pub fn decode_cpu_s(source: &Source, input: &ClipInput) -> Result<f64> {
    let (width, height, short_side) = (input.width as u32, input.height as u32, input.short_side as u32);
    let view = View::CenterCrop { short_side, width, height };
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let before = cpu_s();
        let options = DecodeOptions { view, threads: 1, ..DecodeOptions::default() };
        let mut decoder = Decoder::open(source, &options)?;
        let (width, height) = decoder.frame_size();
        let mut rgb = vec![0; width as usize * height as usize * 3];
        while decoder.next_frame(&mut rgb)?.is_some() {}
        least = least.min(cpu_s() - before);
    }
    Ok(least)
}

/// CPU seconds that this process has used in user mode.
fn cpu_s() -> f64 {
    // SAFETY: an all-zero rusage is valid, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_utime.tv_sec as f64 + usage.ru_utime.tv_usec as f64 / 1e6
}

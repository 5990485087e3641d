//! What the speed benchmarks share: medians, memory, and the bare loops that everything is compared with.

mod bare;
mod decode;
mod rounds;

use anyhow::{Context, Result};
pub use bare::{Bare, serve_bare, serve_ready};
pub use decode::decode_cpu_s;
pub use rounds::Rounds;

/// The middle value; of an even number, the upper of the two in the middle. NaN of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The most memory this process has held, from Linux's accounting.
///
/// # Errors
/// On a system without it.
pub fn peak_memory_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("peak memory {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 3.0);
        assert!(median(&mut []).is_nan());
    }
}

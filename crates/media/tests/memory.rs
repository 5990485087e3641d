//! What is decoded is freed. Alone in its file, since it measures the whole process.
#![cfg(target_os = "linux")]

mod common;

use common::{bytes, fixture_bytes, open, read_all};
use unscene_media::View;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn packets_and_frames_are_freed() {
    let source = bytes("again.avi", fixture_bytes("mjpeg.avi"));
    let decode = |times: usize| {
        for _ in 0..times {
            read_all(&mut open(&source, View::Full, 1).unwrap()).unwrap();
        }
    };
    decode(50);
    let before = resident_kib();
    // The packets of 2,000 passes are about 30 MB.
    decode(2_000);
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more after decoding the same file 2,000 times");
}

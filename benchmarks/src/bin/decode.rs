//! Decodes whole videos and resizes each frame to 112 x 112; prints seconds or memory as JSON.
//!
//! `decode_peers.py` runs this beside other libraries and compares.
//!
//! ```text
//! decode VIDEO [--threads N] [--repeat N]
//! ```

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use unscene_benchmarks::peak_memory_kib;
use unscene_media::{DecodeOptions, Decoder, Source, View};

/// Times decoding and resizing.
#[derive(Parser)]
struct Arguments {
    /// The video.
    video: PathBuf,
    /// Decoding threads; 0 is automatic.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often to decode it. With 0, one pass is made for each line read from standard input, until it ends.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.repeat == 0 {
        for line in std::io::stdin().lines() {
            line?;
            pass(&arguments)?;
        }
    }
    for _ in 0..arguments.repeat {
        pass(&arguments)?;
    }
    Ok(())
}

fn pass(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let options = DecodeOptions {
        view: View::Resize { width: 112, height: 112 },
        threads: arguments.threads,
        ..DecodeOptions::default()
    };
    let mut decoder = Decoder::open(&Source::Path(arguments.video.clone()), &options)?;
    let mut rgb = vec![0; decoder.frame_bytes()];
    let mut frames = 0u64;
    while decoder.next_frame(&mut rgb)?.is_some() {
        frames += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({"seconds": seconds, "frames": frames, "peak_memory_kib": peak_memory_kib()?}));
    Ok(())
}

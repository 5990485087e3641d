//! The command line of the service.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use unscene_engine::{DeviceChoice, EngineChoice};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per event, for a log collector.
    Json,
}

/// Settings of the service. Each is a flag and an environment variable; the flag wins.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Folder of an exported model (a bundle, as `unscene export` writes it). Give the flag once for each model; the
    /// first one of a task answers requests that name no model.
    #[arg(long = "bundle", env = "UNSCENE_BUNDLE", value_name = "DIR", value_delimiter = ',', required = true)]
    pub bundles: Vec<PathBuf>,

    /// Address and port to listen on. Port 0 takes any free port and logs which.
    #[arg(long, env = "UNSCENE_ADDR", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub addr: String,

    /// Library that runs the models: `ort` (ONNX Runtime), `tract` (pure Rust, CPU only), or `auto`, which takes ONNX
    /// Runtime where its library is found and tract where it is not.
    #[arg(long, env = "UNSCENE_ENGINE", value_name = "auto|ort|tract", default_value = "auto")]
    pub engine: EngineChoice,

    /// Device that runs the models: `auto`, `cpu`, `cuda:N` or `tensorrt:N`. A device that is named and cannot be
    /// used is an error at start, never a silent fall-back to another.
    #[arg(long, env = "UNSCENE_DEVICE", value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,

    /// Threads that each model may use for inference on the CPU. 0 uses every core.
    #[arg(long, env = "UNSCENE_THREADS", value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// Requests that may wait for a decoding slot. When they are all taken, a request is answered with 503 and a
    /// Retry-After header before its video is read.
    #[arg(long, env = "UNSCENE_QUEUE", value_name = "N", default_value_t = 32)]
    pub queue: usize,

    /// Videos that are decoded at the same time. 0 means one for each core.
    #[arg(long, env = "UNSCENE_MAX_DECODES", value_name = "N", default_value_t = 0)]
    pub max_decodes: usize,

    /// Largest request body in mebibytes. A larger one is answered with 413.
    #[arg(long, env = "UNSCENE_MAX_BODY_MIB", value_name = "MIB", default_value_t = 256)]
    pub max_body_mib: u64,

    /// Longest video in seconds. A longer one is answered with 413.
    #[arg(long, env = "UNSCENE_MAX_DURATION_S", value_name = "SECONDS", default_value_t = 600.0, value_parser = positive_seconds)]
    pub max_duration_s: f64,

    /// Most pixels (width times height) in one frame. A video with larger frames is answered with 413. The default
    /// is 3840 x 2160.
    #[arg(long, env = "UNSCENE_MAX_PIXELS", value_name = "PIXELS", default_value_t = 3840 * 2160)]
    pub max_pixels: u64,

    /// Most frames in one video, whatever duration it claims. A video with more is answered with 413. The default is
    /// ten minutes at 120 frames per second.
    #[arg(long, env = "UNSCENE_MAX_FRAMES", value_name = "FRAMES", default_value_t = 72_000)]
    pub max_frames: u64,

    /// Longest time in seconds from the first byte of a request to the end of its work. After it the work is cancelled and the
    /// request is answered with 504, or with an error as its last line where lines were sent already.
    #[arg(long, env = "UNSCENE_REQUEST_TIMEOUT_S", value_name = "SECONDS", default_value_t = 300.0, value_parser = positive_seconds)]
    pub request_timeout_s: f64,

    /// Longest time in seconds that a shutdown waits for requests in flight before it drops them.
    #[arg(long, env = "UNSCENE_SHUTDOWN_TIMEOUT_S", value_name = "SECONDS", default_value_t = 60.0, value_parser = positive_seconds)]
    pub shutdown_timeout_s: f64,

    /// Folder for uploads too large to hold in memory. The files have no name and vanish with the request. The
    /// default is the system's folder for temporary files.
    #[arg(long, env = "UNSCENE_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,

    /// How log lines are written: `text` for people or `json` for a log collector. RUST_LOG chooses which are.
    #[arg(long, env = "UNSCENE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Parses a flag in seconds that must be above zero and at most a year, so that it always fits a [`Duration`].
fn positive_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    if seconds > 0.0 && seconds <= 365.0 * 86_400.0 {
        Ok(seconds)
    } else {
        Err(format!("{seconds} is out of range: give a number of seconds above 0 and at most a year"))
    }
}

impl ServeOptions {
    /// Number of videos decoded at once, with "one per core" resolved.
    pub fn decodes(&self) -> usize {
        match self.max_decodes {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        }
    }

    /// Largest body in bytes.
    pub fn max_body_bytes(&self) -> u64 {
        self.max_body_mib.saturating_mul(1 << 20)
    }

    /// The time allowed for one request.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.request_timeout_s)
    }

    /// The time allowed for requests in flight at shutdown.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.shutdown_timeout_s)
    }

    /// What an uploaded video may be.
    pub fn limits(&self) -> unscene_media::Limits {
        unscene_media::Limits {
            max_duration_s: self.max_duration_s,
            max_pixels: self.max_pixels,
            max_frames: self.max_frames,
        }
    }
}

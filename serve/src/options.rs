//! The command line of the service.

use std::path::PathBuf;
use std::time::Duration;

use actix_web::http::Uri;
use clap::{Args, ValueEnum};
use unscene_engine::{DeviceChoice, EngineChoice};
use unscene_media::WorkerOptions;

use crate::admission::Room;
use crate::fetch::host;

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
    #[arg(
        long = "bundle",
        env = "UNSCENE_BUNDLE",
        value_name = "DIR",
        value_delimiter = ',',
        required_unless_present = "models"
    )]
    pub bundles: Vec<PathBuf>,

    /// Folder of bundles: each is a model. What is added, changed or removed there is loaded, exchanged or dropped while the
    /// service runs; put a bundle there by renaming, as `unscene export` does.
    #[arg(long, env = "UNSCENE_MODELS", value_name = "DIR")]
    pub models: Option<PathBuf>,

    /// Name of the model that answers requests of its task which name none, instead of the first. Once for each task.
    #[arg(long = "default", env = "UNSCENE_DEFAULT", value_name = "MODEL", value_delimiter = ',')]
    pub defaults: Vec<String>,

    /// Seconds from one look for changed bundles to the next; 0 never looks, and `POST /v1/models/MODEL/reload` remains.
    #[arg(long, env = "UNSCENE_RELOAD_EVERY_S", value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds_or_zero)]
    pub reload_every_s: f64,

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

    /// Clips (windows, frames) in a batch at most, of one video or several. 0 leaves it to the engine: on a CPU as
    /// many as are run side by side, with ONNX Runtime up to four that share the threads, with tract one for each; on a GPU as many as
    /// fill it.
    #[arg(long, env = "UNSCENE_MAX_BATCH", value_name = "CLIPS", default_value_t = 0)]
    pub max_batch: usize,

    /// Milliseconds that a batch with room waits for clips of other videos that are being worked on. 0 waits for none: what
    /// comes while one batch runs is the next.
    #[arg(long, env = "UNSCENE_MAX_WAIT_MS", value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub max_wait_ms: u64,

    /// Clips that may come before those of a request when it arrives. Shorter videos pass longer ones, so that of a longer one
    /// only as many count as the request has itself. When there are more, the request is answered with 429 and a Retry-After
    /// header.
    #[arg(long, env = "UNSCENE_QUEUE_CLIPS", value_name = "CLIPS", default_value_t = 1024)]
    pub queue_clips: usize,

    /// Requests that may upload or wait beside those whose video is open. When they are all taken, a request is answered with
    /// 429 and a Retry-After header before its video is read.
    #[arg(long, env = "UNSCENE_QUEUE", value_name = "N", default_value_t = 32)]
    pub queue: usize,

    /// Videos that are open at the same time; they take turns. 0 means four for each that is decoded at the same time.
    #[arg(long, env = "UNSCENE_MAX_VIDEOS", value_name = "N", default_value_t = 0)]
    pub max_videos: usize,

    /// Videos of which a frame is decoded at the same time. 0 means one for each core.
    #[arg(long, env = "UNSCENE_MAX_DECODES", value_name = "N", default_value_t = 0)]
    pub max_decodes: usize,

    /// Memory in mebibytes (of address space) that decoding one video may take. It is done in processes of their own; one that takes more fails, and
    /// its request is answered with 422.
    #[arg(long, env = "UNSCENE_DECODE_MEMORY_MIB", value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    pub decode_memory_mib: u64,

    /// Longest time in seconds to open a video, or to decode until its next frame. After it the process is ended, and the
    /// request is answered with 422.
    #[arg(long, env = "UNSCENE_DECODE_TIMEOUT_S", value_name = "SECONDS", default_value_t = 10.0, value_parser = positive_seconds)]
    pub decode_timeout_s: f64,

    /// Program whose `main` calls `run_if_worker` first: this one, unless the service runs within another.
    #[arg(long, hide = true, default_value = "/proc/self/exe")]
    pub decode_program: PathBuf,

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

    /// Longest time in seconds from the head of a request to the end of its work; a request may ask for less with the
    /// header X-Request-Timeout-S. After it the work is cancelled and the
    /// request is answered with 504, or with an error as its last line where lines were sent already.
    #[arg(long, env = "UNSCENE_REQUEST_TIMEOUT_S", value_name = "SECONDS", default_value_t = 300.0, value_parser = positive_seconds)]
    pub request_timeout_s: f64,

    /// Longest time in seconds that a client may take nothing of its answer. After it the connection is closed.
    #[arg(long, env = "UNSCENE_SEND_TIMEOUT_S", value_name = "SECONDS", default_value_t = 30.0, value_parser = positive_seconds)]
    pub send_timeout_s: f64,

    /// Longest time in seconds that a shutdown waits for requests in flight before it drops them.
    #[arg(long, env = "UNSCENE_SHUTDOWN_TIMEOUT_S", value_name = "SECONDS", default_value_t = 60.0, value_parser = positive_seconds)]
    pub shutdown_timeout_s: f64,

    /// Videos at a time that are sent while they are filmed (`POST /v1/stream`); more are answered with 429. Each has a process to
    /// decode in.
    #[arg(long, env = "UNSCENE_MAX_STREAMS", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=1024))]
    pub max_streams: u64,

    /// Longest time in seconds that one may go on. After it, it ends as if the video had.
    #[arg(long, env = "UNSCENE_MAX_STREAM_S", value_name = "SECONDS", default_value_t = 3600.0, value_parser = positive_seconds)]
    pub max_stream_s: f64,

    /// Folder for jobs (`POST /v1/jobs`): a database of them, and the videos of those that have not ended. Without it there are none.
    /// One service has it at a time, unless there is --jobs-db.
    #[arg(long, env = "UNSCENE_JOBS", value_name = "DIR")]
    pub jobs: Option<PathBuf>,

    /// PostgreSQL database for jobs, such as `postgres://user@host/name`, instead of one in the folder: services with the same one, and with
    /// the same folder, share one queue. TLS is used where the server has it, and its certificate must be one that this machine trusts (or an
    /// authority in the file that SSL_CERT_FILE names instead of the system's); `?sslmode=disable` does without, `?sslmode=require` insists.
    #[arg(long, requires = "jobs", env = "UNSCENE_JOBS_DB", hide_env_values = true, value_name = "URL")]
    pub jobs_db: Option<String>,

    /// Jobs that are worked on at the same time, beside the requests of those who wait.
    #[arg(long, env = "UNSCENE_JOBS_AT_ONCE", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub jobs_at_once: u64,

    /// Longest time in seconds that a job is worked on. After it the job fails.
    #[arg(long, env = "UNSCENE_JOB_TIMEOUT_S", value_name = "SECONDS", default_value_t = 3600.0, value_parser = positive_seconds)]
    pub job_timeout_s: f64,

    /// Days that a job is kept after it has ended.
    #[arg(long, env = "UNSCENE_JOBS_KEEP_DAYS", value_name = "DAYS", default_value_t = 7.0, value_parser = days)]
    pub jobs_keep_days: f64,

    /// Mebibytes that the videos of jobs which have not ended may take, and as much again for the results of those that have: of
    /// these the oldest go first.
    #[arg(long, env = "UNSCENE_JOBS_MAX_MIB", value_name = "MIB", default_value_t = 10_240)]
    pub jobs_max_mib: u64,

    /// Host that videos of jobs may be fetched from (`POST /v1/jobs?url=...`), such as `example.org`, `*.example.org` or
    /// `example.org:8443`. Once for each. All its addresses must be public.
    #[arg(long = "fetch-host", requires = "jobs", env = "UNSCENE_FETCH_HOST", value_name = "HOST", value_delimiter = ',', value_parser = host)]
    pub fetch_hosts: Vec<String>,

    /// As --fetch-host, for a host in a network of your own: its addresses may be private.
    #[arg(long = "fetch-local-host", requires = "jobs", env = "UNSCENE_FETCH_LOCAL_HOST", value_name = "HOST", value_delimiter = ',', value_parser = host)]
    pub fetch_local_hosts: Vec<String>,

    /// Bucket that videos of jobs may be fetched from (`POST /v1/jobs?url=s3://BUCKET/KEY`). Once for each. AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL_S3 say how, as for other programs.
    #[arg(
        long = "fetch-bucket",
        requires = "jobs",
        env = "UNSCENE_FETCH_BUCKET",
        value_name = "BUCKET",
        value_delimiter = ','
    )]
    pub fetch_buckets: Vec<String>,

    /// File of API keys (TOML; docs/operations.md). Without it everybody may do everything. It is read again when it changes.
    #[arg(long, env = "UNSCENE_API_KEYS", value_name = "FILE")]
    pub api_keys: Option<PathBuf>,

    /// Origin whose pages may call the service from a browser, such as `https://example.org`, or `*` for every one. Once
    /// for each.
    #[arg(long = "cors-origin", env = "UNSCENE_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<String>,

    /// Certificate chain (PEM) to serve HTTPS with, instead of HTTP.
    #[arg(long, env = "UNSCENE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key (PEM) of the certificate.
    #[arg(long, env = "UNSCENE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Folder for uploads too large to hold in memory. The files have no name and vanish with the request. The
    /// default is the system's folder for temporary files.
    #[arg(long, env = "UNSCENE_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,

    /// Where traces are sent: the address of an OpenTelemetry collector that takes them by HTTP (OTLP), without TLS. Without it there
    /// are none. OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and the like hold.
    #[arg(long, env = "UNSCENE_OTLP_ENDPOINT", value_name = "http://HOST:4318/v1/traces", value_parser = otlp)]
    pub otlp_endpoint: Option<String>,

    /// How log lines are written: `text` for people or `json` for a log collector. RUST_LOG chooses which are.
    #[arg(long, env = "UNSCENE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Parses a flag in seconds that must be above zero and at most a year, so that it always fits a [`Duration`].
pub(crate) fn positive_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    if seconds > 0.0 && seconds <= 365.0 * 86_400.0 {
        Ok(seconds)
    } else {
        Err(format!("{seconds} is out of range: give a number of seconds above 0 and at most a year"))
    }
}

/// As [`positive_seconds`], in days.
fn days(text: &str) -> Result<f64, String> {
    let days: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of days"))?;
    if days > 0.0 && days <= 36_500.0 {
        Ok(days)
    } else {
        Err(format!("{days} is out of range: give a number of days above 0 and at most 36500"))
    }
}

/// An origin as browsers send it: scheme, host and port, and nothing after.
fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '*']) && text.parse::<Uri>().is_ok();
    if text == "*" || host.is_some_and(is_host) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no origin: give a scheme and a host, such as https://example.org, or `*`"))
    }
}

/// An address to send traces to; the usual path where it has none.
fn otlp(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no address for traces: give http://HOST:4318/v1/traces");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    let has_path = !matches!(uri.path(), "" | "/");
    Ok(if has_path { text.to_owned() } else { format!("{}/v1/traces", text.trim_end_matches('/')) })
}

/// As [`positive_seconds`], and 0 too.
fn seconds_or_zero(text: &str) -> Result<f64, String> {
    if text.parse() == Ok(0.0) { Ok(0.0) } else { positive_seconds(text) }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

impl ServeOptions {
    /// Time from one look for changed bundles to the next, if there is one.
    pub fn reload_every(&self) -> Option<Duration> {
        (self.reload_every_s > 0.0).then(|| Duration::from_secs_f64(self.reload_every_s))
    }

    /// Number of videos decoded at once, with "one per core" resolved.
    pub fn decodes(&self) -> usize {
        match self.max_decodes {
            0 => cores(),
            n => n,
        }
    }

    /// Number of videos open at once, with "four for each that is decoded" resolved.
    pub fn videos(&self) -> usize {
        match self.max_videos {
            0 => self.decodes().saturating_mul(4),
            n => n,
        }
    }

    /// The processes that decode: one for each video that is open or is filmed, and those that look at headers.
    pub fn workers(&self) -> WorkerOptions {
        WorkerOptions {
            program: self.decode_program.clone(),
            workers: self.videos().saturating_add(self.decodes()).saturating_add(self.max_streams as usize),
            memory_mib: self.decode_memory_mib,
            patience: Duration::from_secs_f64(self.decode_timeout_s),
        }
    }

    /// How much is taken on.
    pub fn room(&self) -> Room {
        Room { clips: self.queue_clips, videos: self.videos(), probes: self.decodes(), waiting: self.queue }
    }

    /// Largest body in bytes.
    pub fn max_body_bytes(&self) -> u64 {
        self.max_body_mib.saturating_mul(1 << 20)
    }

    /// The time allowed for one request.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.request_timeout_s)
    }

    /// The time in which a client has to take some of its answer.
    pub fn send_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.send_timeout_s)
    }

    /// The time allowed for a video that is filmed.
    pub fn stream_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.max_stream_s)
    }

    /// What a video that is filmed may be: as an upload, but for its length, for which there is a time.
    pub fn stream_limits(&self) -> unscene_media::Limits {
        unscene_media::Limits { max_duration_s: 1e9, max_frames: u64::MAX, ..self.limits() }
    }

    /// The time allowed for one job.
    pub fn job_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.job_timeout_s)
    }

    /// How long a job is kept after it has ended.
    pub fn jobs_keep(&self) -> Duration {
        Duration::from_secs_f64(self.jobs_keep_days * 86_400.0)
    }

    /// Bytes that the videos of jobs may take, and their results.
    pub fn jobs_max_bytes(&self) -> u64 {
        self.jobs_max_mib.saturating_mul(1 << 20)
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

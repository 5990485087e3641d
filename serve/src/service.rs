//! Start, serve, drain, stop.

use std::any::Any;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_cors::Cors;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, middleware, web};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use unscene_engine::EngineError;
use unscene_media::{DecodeWorkers, Turns};

use crate::admission::Admission;
use crate::fetch::Fetcher;
use crate::jobs::{Jobs, JobsError, runner};
use crate::keys::{KeyFileError, Keys};
use crate::metrics::Metrics;
use crate::options::{ServeOptions, cores};
use crate::registry::Registry;
use crate::state::{RELOADS, State};
use crate::tls::TlsError;

/// Most HTTP workers. They only move bytes, so that more would take memory and give nothing.
const MAX_WORKERS: usize = 4;
/// How often a shutdown looks whether the requests in flight have ended.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Seconds that a shutdown waits for connections at the end: what was asked for has been answered and sent by then, but for what the
/// system holds of it.
const LAST_WORDS_S: u64 = 5;
/// How long an idle connection is kept, longer than the idle time of common load balancers.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Why the service did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A bundle cannot be read or run.
    #[error("{}: {source}", folder.display())]
    Bundle {
        /// The bundle's folder.
        folder: PathBuf,
        /// What is wrong with it.
        source: Box<EngineError>,
    },
    /// Two bundles have one name, so that requests could not choose between them.
    #[error("{}: a model named `{name}` is loaded already; rename one of the two folders", folder.display())]
    DuplicateName {
        /// The second bundle's folder.
        folder: PathBuf,
        /// The name of both.
        name: String,
    },
    /// The folder of bundles cannot be read.
    #[error("{}: the folder of bundles cannot be read: {source}; choose another with --models DIR", folder.display())]
    Models {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A default names no bundle.
    #[error("--default {name}: there is no bundle of that name; there are {loaded}")]
    NoDefault {
        /// The name.
        name: String,
        /// What there is, as a list for people.
        loaded: String,
    },
    /// A default cannot be loaded.
    #[error("--default {name}: its bundle cannot be loaded: {reason}")]
    BrokenDefault {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; choose another with --addr HOST:PORT")]
    Bind {
        /// The address asked for.
        addr: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder for uploads cannot be written.
    #[error("{}: cannot make a temporary file: {source}; choose another folder with --spool-dir", folder.display())]
    SpoolDir {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The processes that decode cannot be started.
    #[error("a process to decode in cannot be started: {0}")]
    Workers(std::io::Error),
    /// There can be no jobs.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// Videos cannot be fetched.
    #[error("videos cannot be fetched: {0}")]
    Fetch(String),
    /// The file of API keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// There can be no HTTPS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Traces cannot be sent there.
    #[error("traces cannot be sent to {endpoint}: {reason}; give --otlp-endpoint as http://HOST:4318/v1/traces")]
    Traces {
        /// Where to.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The metrics cannot be registered.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The server or its signal handlers failed.
    #[error("the server failed: {0}")]
    Server(#[from] std::io::Error),
}

/// A service that listens.
pub struct Service {
    server: Server,
    addr: SocketAddr,
    state: web::Data<State>,
}

/// Stops a running [`Service`] from another thread.
#[derive(Clone)]
pub struct StopHandle {
    handle: ServerHandle,
    state: web::Data<State>,
}

impl Service {
    /// Listens. Connections are answered, and models loaded, once [`serve`](Self::serve) is awaited. Call it on an Actix
    /// system, as [`run`] does.
    ///
    /// # Errors
    ///
    /// [`StartError`], which names the folder or address.
    pub fn start(options: ServeOptions) -> Result<Self, StartError> {
        check_spool_dir(&options)?;
        let metrics = Metrics::new()?;
        let state = web::Data::new(State {
            registry: Registry::new(&options, metrics.clone()),
            reloads: Arc::new(Semaphore::new(RELOADS)),
            admission: Admission::new(options.room()),
            workers: DecodeWorkers::start(options.workers()).map_err(StartError::Workers)?,
            turns: Turns::new(options.decodes()),
            jobs: Jobs::open(&options, &metrics)?,
            metrics,
            streams: Arc::new(Semaphore::new(options.max_streams as usize)),
            fetcher: Fetcher::new(&options).map_err(StartError::Fetch)?,
            keys: options.api_keys.as_deref().map(Keys::read).transpose()?,
            draining: Arc::new(AtomicBool::new(false)),
            options,
        });
        let options = &state.options;
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_WORKERS);
        let (shared, send_timeout) = (state.clone(), options.send_timeout());
        let http = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                // The last is asked first.
                .wrap(middleware::from_fn(crate::access::guard))
                .wrap(middleware::Compress::default())
                .wrap(cors(&shared.options.cors_origins))
                .wrap(middleware::from_fn(crate::access::log))
                .configure(crate::routes::configure)
        })
        .workers(workers)
        // A worker's share of the blocking threads must allow every slot to land on one worker.
        .worker_max_blocking_threads(options.videos() + options.max_streams as usize + 8)
        .on_connect(move |connection, _| end_when_unread(connection, send_timeout))
        .keep_alive(KEEP_ALIVE)
        // A client that closes has left: its request is dropped, which cancels the work.
        .h1_allow_half_closed(false)
        .client_request_timeout(Duration::from_secs(30))
        // Answers such as 413 come before the body is read; the rest of it is read and dropped for this long, so that
        // the client gets to see the answer.
        .client_disconnect_timeout(Duration::from_secs(5))
        .shutdown_timeout(LAST_WORDS_S)
        .disable_signals();
        let bind_error = |source| StartError::Bind { addr: options.addr.clone(), source };
        let bound = match (&options.tls_cert, &options.tls_key) {
            (Some(cert), Some(key)) => http.bind_rustls_0_23(&options.addr, crate::tls::config(cert, key)?),
            _ => http.bind(&options.addr),
        };
        let http = bound.map_err(bind_error)?;
        let addr = http.addrs().first().copied().ok_or_else(|| bind_error(std::io::Error::other("no address")))?;
        Ok(Self { server: http.run(), addr, state })
    }

    /// The address that the service listens on, with the port that the system chose for port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A handle that stops the service.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { handle: self.server.handle(), state: self.state.clone() }
    }

    /// Loads the models, and answers requests until a [`StopHandle`] stops it; until they are loaded, all that takes a video with
    /// 503. Looks for changed bundles and keys now and then.
    ///
    /// # Errors
    ///
    /// When a bundle cannot be loaded, or the listening socket fails.
    pub async fn serve(self) -> Result<(), StartError> {
        let Self { server, addr, state } = self;
        let (handle, mut server) = (server.handle(), pin!(server));
        let loaded = tokio::select! {
            ended = server.as_mut() => return Ok(ended?),
            loaded = state.load_models() => loaded,
        };
        if let Err(error) = loaded {
            // Ends when it is told to, whatever it was doing.
            let _ = tokio::join!(handle.stop(false), server);
            return Err(error);
        }
        let scheme = if state.options.tls_cert.is_some() { "https" } else { "http" };
        tracing::info!(%addr, "ready: listening on {scheme}://{addr}");
        if let Some(jobs) = &state.jobs {
            for _ in 0..state.options.jobs_at_once {
                actix_web::rt::spawn(runner::work(state.clone(), jobs.clone()));
            }
            actix_web::rt::spawn(runner::tidy(state.clone(), jobs.clone()));
            if jobs.store().is_shared() {
                actix_web::rt::spawn(runner::keep(state.clone(), jobs.clone()));
            }
        }
        let (watching, trying) = (state.clone(), state.clone());
        actix_web::rt::spawn(async move { watching.follow_keys().await });
        actix_web::rt::spawn(async move { trying.try_failing_models().await });
        actix_web::rt::spawn(async move { state.follow_models().await });
        Ok(server.await?)
    }
}

impl StopHandle {
    /// Refuses new work, waits for the requests in flight as long as the options say, drops those that are left, and
    /// closes. Meanwhile `/readyz` answers 503.
    pub async fn stop(&self) {
        self.state.draining.store(true, Ordering::Release);
        if let Some(jobs) = &self.state.jobs {
            jobs.stop();
        }
        let deadline = Instant::now() + self.state.options.shutdown_timeout();
        let state = &self.state;
        let jobs_at_work = || state.jobs.as_ref().is_some_and(Jobs::is_at_work);
        let is_busy = || state.admission.requests() + state.streams_open() > 0 || jobs_at_work();
        while is_busy() && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        self.close().await;
    }

    /// Closes; drops the requests in flight, if there are any.
    async fn close(&self) {
        let left = self.state.admission.requests() + self.state.streams_open();
        if left > 0 {
            tracing::warn!(requests = left, "shutting down: requests in flight are dropped");
        }
        self.handle.stop(left == 0).await;
    }
}

/// Serves until SIGTERM or SIGINT, finishes the requests in flight, and returns. A second signal does not wait for them.
///
/// # Errors
///
/// [`StartError`].
pub fn run(options: ServeOptions) -> Result<(), StartError> {
    bound_arenas();
    actix_web::rt::System::new().block_on(async move {
        // Before the models are loaded, so that a signal during that is not lost.
        let mut signals = Signals::listen()?;
        let service = Service::start(options)?;
        let stop = service.stop_handle();
        tracing::info!(addr = %service.addr(), "loading the models");
        actix_web::rt::spawn(async move {
            let signal = signals.next().await;
            let requests = stop.state.admission.requests() + stop.state.streams_open();
            let seconds = stop.state.options.shutdown_timeout_s;
            tracing::info!(
                signal,
                requests,
                "shutting down: finishing the requests in flight, for {seconds} s at most; a second signal drops them"
            );
            tokio::select! {
                () = stop.stop() => {}
                _ = signals.next() => stop.close().await,
            }
        });
        service.serve().await
    })
}

/// Has threads share a few pools of memory. glibc makes eight for each core, and each keeps what it once needed: in weeks that is a multiple
/// of what is needed at once.
fn bound_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator, and nothing else.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, cores().clamp(2, 8) as i32);
    }
}

/// Has the system close a connection of which the other end takes nothing for so long: no other timer looks at answers on their way.
fn end_when_unread(connection: &dyn Any, after: Duration) {
    let plain = connection.downcast_ref::<TcpStream>();
    let stream = plain.or_else(|| Some(connection.downcast_ref::<TlsStream<TcpStream>>()?.get_ref().0));
    let milliseconds = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    if let Some(Err(error)) = stream.map(|stream| set_tcp_user_timeout(stream, milliseconds)) {
        tracing::warn!(%error, "a connection has no limit to how long its answer may go unread");
    }
}

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Headers of answers that pages of other origins may read.
const EXPOSED: [&str; 12] = [
    "content-location",
    "inference-header-content-length",
    "location",
    "retry-after",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-expires",
    "upload-length",
    "upload-offset",
    "x-request-id",
];

/// Lets pages of these origins call the service from a browser; does nothing when there are none.
fn cors(origins: &[String]) -> middleware::Condition<Cors> {
    let any = origins.iter().any(|origin| origin == "*");
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"])
        .allow_any_header()
        .expose_headers(EXPOSED)
        .max_age(3600);
    let cors = if any { cors.allow_any_origin().send_wildcard() } else { cors };
    let named = origins.iter().filter(|_| !any).fold(cors, |cors, origin| cors.allowed_origin(origin));
    middleware::Condition::new(!origins.is_empty(), named)
}

fn check_spool_dir(options: &ServeOptions) -> Result<(), StartError> {
    let folder = options.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    match tempfile::tempfile_in(&folder) {
        Ok(_) => Ok(()),
        Err(source) => Err(StartError::SpoolDir { folder, source }),
    }
}

//! Start, serve, drain, stop.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer, middleware, web};
use tokio::signal::unix::{Signal, SignalKind, signal};
use unscene_engine::{Bundle, EngineError, EngineOptions};

use crate::admission::Admission;
use crate::loaded::Loaded;
use crate::metrics::Metrics;
use crate::options::{LogFormat, ServeOptions};
use crate::state::State;

/// Most HTTP workers. They only move bytes, so that more would take memory and give nothing.
const MAX_WORKERS: usize = 4;
/// How often a shutdown looks whether the requests in flight have ended.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// How long an idle connection is kept, longer than the idle time of common load balancers.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Why the service did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to serve.
    #[error("no bundle is given; give at least one with --bundle DIR")]
    NoBundle,
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
    /// The metrics cannot be registered.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The server or its signal handlers failed.
    #[error("the server failed: {0}")]
    Server(#[from] std::io::Error),
}

/// A service that has loaded its models and listens.
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
    /// Loads every bundle, then listens. Connections are answered once [`serve`](Self::serve) is awaited. Call it on an
    /// Actix system, as [`run`] does.
    ///
    /// # Errors
    ///
    /// [`StartError`], which names the bundle, folder or address.
    pub fn start(options: ServeOptions) -> Result<Self, StartError> {
        check_spool_dir(&options)?;
        let state = web::Data::new(State {
            models: load_models(&options)?,
            admission: Admission::new(options.decodes(), options.queue),
            metrics: Metrics::new()?,
            draining: Arc::new(AtomicBool::new(false)),
            options,
        });
        let options = &state.options;
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_WORKERS);
        let shared = state.clone();
        let http = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .wrap(middleware::from_fn(crate::access::log))
                .configure(crate::routes::configure)
        })
        .workers(workers)
        // A worker's share of the blocking threads must allow every slot to land on one worker.
        .worker_max_blocking_threads(options.decodes() + 8)
        .keep_alive(KEEP_ALIVE)
        // A client that closes has left: its request is dropped, which cancels the work.
        .h1_allow_half_closed(false)
        .client_request_timeout(Duration::from_secs(30))
        // Answers such as 413 come before the body is read; the rest of it is read and dropped for this long, so that
        // the client gets to see the answer.
        .client_disconnect_timeout(Duration::from_secs(5))
        .shutdown_timeout(options.shutdown_timeout().as_secs().max(1))
        .disable_signals();
        let bind_error = |source| StartError::Bind { addr: options.addr.clone(), source };
        let http = http.bind(&options.addr).map_err(bind_error)?;
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

    /// Answers requests until a [`StopHandle`] stops it.
    ///
    /// # Errors
    ///
    /// When the listening socket fails.
    pub async fn serve(self) -> Result<(), StartError> {
        Ok(self.server.await?)
    }
}

impl StopHandle {
    /// Refuses new work, waits for the requests in flight as long as the options say, drops those that are left, and
    /// closes. Meanwhile `/readyz` answers 503.
    pub async fn stop(&self) {
        self.state.draining.store(true, Ordering::Release);
        let deadline = Instant::now() + self.state.options.shutdown_timeout();
        while self.state.admission.entered() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        self.close().await;
    }

    /// Closes; drops the requests in flight, if there are any.
    async fn close(&self) {
        let left = self.state.admission.entered();
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
    actix_web::rt::System::new().block_on(async move {
        // Before the models are loaded, so that a signal during that is not lost.
        let mut signals = Signals::listen()?;
        let service = Service::start(options)?;
        let stop = service.stop_handle();
        tracing::info!(addr = %service.addr(), "ready: listening on http://{}", service.addr());
        actix_web::rt::spawn(async move {
            let signal = signals.next().await;
            let (requests, seconds) = (stop.state.admission.entered(), stop.state.options.shutdown_timeout_s);
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

/// Writes log lines to standard error. RUST_LOG chooses which; the default is `info`. Does nothing when the program has
/// set up its own.
pub fn init_tracing(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,ort=warn,actix_server=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let _already_set = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
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

fn check_spool_dir(options: &ServeOptions) -> Result<(), StartError> {
    let folder = options.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    match tempfile::tempfile_in(&folder) {
        Ok(_) => Ok(()),
        Err(source) => Err(StartError::SpoolDir { folder, source }),
    }
}

fn load_models(options: &ServeOptions) -> Result<Vec<Loaded>, StartError> {
    if options.bundles.is_empty() {
        return Err(StartError::NoBundle);
    }
    let engine = EngineOptions {
        engine: options.engine,
        device: options.device,
        threads: options.threads,
        ..EngineOptions::default()
    };
    let mut models: Vec<Loaded> = Vec::new();
    for folder in &options.bundles {
        let bundle_error = |source| StartError::Bundle { folder: folder.clone(), source: Box::new(source) };
        let started = Instant::now();
        let bundle = Bundle::open(folder).map_err(bundle_error)?;
        let model = Loaded::load(&bundle, &engine).map_err(bundle_error)?;
        if models.iter().any(|other| other.name() == model.name()) {
            return Err(StartError::DuplicateName { folder: folder.clone(), name: model.name().to_owned() });
        }
        tracing::info!(
            model = model.name(),
            task = %model.task(),
            engine = model.graphs().engine_name(),
            device = model.graphs().device_name(),
            seconds = started.elapsed().as_secs_f64(),
            "model loaded"
        );
        models.push(model);
    }
    Ok(models)
}

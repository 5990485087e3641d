//! The connection to PostgreSQL, which is made again when it breaks.

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::jobs::store::StoreError;

/// How long a query may take, with a new connection if it needs one.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long one of a host's addresses has to answer, unless the URL says so.
const CONNECT: Duration = Duration::from_secs(2);
/// What the database is told of each connection: to give up on a query soon after nobody waits for it any more.
const RULES: &str = "SET statement_timeout = '4s'";

/// What a query's `$1` and those after it stand for.
pub type Values<'a> = [&'a (dyn ToSql + Sync)];

/// The connection. It is driven by a thread of its own; queries wait on the thread that asks, which must be one that may wait.
pub struct Link {
    runtime: Handle,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    open: Mutex<Option<Open>>,
    /// The thread ends with it.
    _alive: oneshot::Sender<()>,
}

/// A connection that was made.
struct Open {
    client: Arc<Client>,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// One that is not made yet.
    ///
    /// # Errors
    ///
    /// When the URL cannot be read.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        // What the parser says may repeat the password.
        let wrong = "it is no URL that can be used; give postgres://USER:PASSWORD@HOST:5432/DATABASE, with % escapes in the password, and after it, \
                     if need be, ?sslmode=disable or ?sslmode=require (there is no verify-full: certificates are verified)";
        let parsed = is_url(url).then(|| url.parse::<Config>().ok()).flatten();
        let mut config = parsed.ok_or_else(|| StoreError::Postgres(wrong.to_owned()))?;
        config.application_name("unscene").tcp_user_timeout(PATIENCE);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        let failed = |error: &dyn Error| StoreError::Unreachable(format!("no connection can be set up: {error}"));
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => {
                crate::tls::use_ring();
                Some(MakeRustlsConnect::new(ClientConfig::with_platform_verifier().map_err(|error| failed(&error))?))
            }
        };
        let driver = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let (runtime, (alive, ended)) = (driver.handle().clone(), oneshot::channel::<()>());
        let drive = move || drop(driver.block_on(ended));
        let thread = std::thread::Builder::new().name("jobs-database".to_owned());
        thread.spawn(drive).map_err(|error| failed(&error))?;
        Ok(Self { runtime, config, tls, open: Mutex::default(), _alive: alive })
    }

    /// The rows that a query gives. Without an answer it may have been done, or may be done later.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`] when trying again may help, [`StoreError::Postgres`] when it will not.
    pub fn query(&self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, StoreError> {
        self.wait(async {
            let client = self.client().await?;
            client.query(sql, values).await.map_err(of)
        })
    }

    /// Does something on a connection of its own.
    ///
    /// # Errors
    ///
    /// As what is done.
    pub fn apart<T>(&self, work: impl AsyncFnOnce(&mut Client) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.wait(async {
            let (mut client, _driver) = self.connect().await?;
            work(&mut client).await
        })
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            match tokio::time::timeout(PATIENCE, work).await {
                Ok(done) => done,
                Err(_) => {
                    // It may still look well: a server that was stopped takes what it is sent.
                    if let Ok(mut open) = self.open.try_lock() {
                        *open = None;
                    }
                    Err(StoreError::Unreachable(format!("no answer for {} s", PATIENCE.as_secs())))
                }
            }
        })
    }

    /// The connection; a new one, if the last has ended.
    async fn client(&self) -> Result<Arc<Client>, StoreError> {
        let mut open = self.open.lock().await;
        if let Some(Open { client, .. }) = open.as_ref().filter(|open| !open.client.is_closed()) {
            return Ok(client.clone());
        }
        // What was accepted at the start may be so again: a certificate that is exchanged, a password.
        let connected = self.connect().await.map_err(|error| match error {
            StoreError::Postgres(text) => StoreError::Unreachable(text),
            error => error,
        });
        let (client, driver) = connected?;
        tracing::info!("connected to the database of jobs");
        let client = Arc::new(client);
        *open = Some(Open { client: client.clone(), driver });
        Ok(client)
    }

    async fn connect(&self) -> Result<(Client, AbortHandle), StoreError> {
        let (client, driver) = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(of)?;
                (client, self.drive(connection))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(of)?;
                (client, self.drive(connection))
            }
        };
        client.batch_execute(RULES).await.map_err(of)?;
        Ok((client, driver))
    }

    fn drive(
        &self,
        connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    ) -> AbortHandle {
        let driven = self.runtime.spawn(async {
            if let Err(error) = connection.await {
                tracing::warn!(error = told(&error), "a connection to the database of jobs broke");
            }
        });
        driven.abort_handle()
    }
}

/// Whether it is a URL of PostgreSQL.
fn is_url(url: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
}

/// Host, port and database of a URL. None of one without a name before them: what looks like a host may be a password then.
pub fn address(url: &str) -> Option<&str> {
    let (_, address) = url.rsplit_once('@').filter(|_| is_url(url))?;
    address.split('?').next()
}

/// An error of the client as one of ours.
pub fn of(error: tokio_postgres::Error) -> StoreError {
    // Classes of codes: what is wrong with the connection, with one that may only read, with room, and with a server that is stopped or
    // interrupted.
    let is_passing = |code: &str| ["08", "25", "53", "57"].iter().any(|class| code.starts_with(class));
    let text = told(&error);
    match error.code() {
        Some(code) if !is_passing(code.code()) => StoreError::Postgres(text),
        None if text.contains("invalid peer certificate") => StoreError::Postgres(format!(
            "{text}; SSL_CERT_FILE may name a file of authorities instead of the system's, and ?sslmode=disable does without TLS"
        )),
        _ => StoreError::Unreachable(text),
    }
}

/// An error with its reasons.
fn told(error: &dyn Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(reason) = next {
        let _never_fails = write!(text, ": {reason}");
        next = reason.source();
    }
    text
}

//! The connection to PostgreSQL, which is made again when it breaks.

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, oneshot};
use tokio_postgres::config::Host;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::jobs::store::StoreError;

/// How long a connection may take, and a query.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the database is told of each connection: that a query may not take longer than anybody waits for it.
const RULES: &str = "SET statement_timeout = '8s'";

/// What a query's `$1` and those after it stand for.
pub type Values<'a> = [&'a (dyn ToSql + Sync)];

/// The connection. It is driven by a thread of its own; queries wait on the thread that asks, which must be one that may wait.
pub struct Link {
    runtime: Handle,
    config: Config,
    tls: MakeRustlsConnect,
    client: Mutex<Option<Arc<Client>>>,
    /// The thread ends with it.
    _alive: oneshot::Sender<()>,
}

impl Link {
    /// One that is not made yet.
    ///
    /// # Errors
    ///
    /// When the URL cannot be read.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let mut config = url.parse::<Config>().map_err(|error| {
            StoreError::Postgres(format!("{}; give postgres://USER:PASSWORD@HOST:5432/DATABASE", told(&error)))
        })?;
        config.application_name("unscene").connect_timeout(PATIENCE).tcp_user_timeout(PATIENCE);
        crate::tls::use_ring();
        let tls = ClientConfig::with_platform_verifier();
        let tls = tls.map_err(|error| StoreError::Unreachable(format!("there can be no TLS: {error}")))?;
        let (alive, ended) = oneshot::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let failed = |error| StoreError::Unreachable(format!("there can be no thread for it: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let drive = move || {
            let _was_dropped = sender.send(runtime.handle().clone());
            let _ended = runtime.block_on(ended);
        };
        std::thread::Builder::new().name("jobs-database".to_owned()).spawn(drive).map_err(failed)?;
        let runtime = receiver.recv().map_err(|_| failed(std::io::Error::other("it ended")))?;
        let (tls, client) = (MakeRustlsConnect::new(tls), Mutex::default());
        Ok(Self { runtime, config, tls, client, _alive: alive })
    }

    /// The rows that a query gives.
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
            let mut client = self.connect().await?;
            work(&mut client).await
        })
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            let waited = tokio::time::timeout(PATIENCE, work).await;
            waited.unwrap_or_else(|_| Err(StoreError::Unreachable(format!("no answer for {} s", PATIENCE.as_secs()))))
        })
    }

    /// The connection; a new one, if the last has ended.
    async fn client(&self) -> Result<Arc<Client>, StoreError> {
        let mut kept = self.client.lock().await;
        if let Some(client) = kept.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.connect().await?);
        *kept = Some(client.clone());
        Ok(client)
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(of)?;
        self.runtime.spawn(async {
            if let Err(error) = connection.await {
                tracing::warn!(error = told(&error), "a connection to the database of jobs broke");
            }
        });
        client.batch_execute(RULES).await.map_err(of)?;
        Ok(client)
    }
}

/// Where the database of a URL is, without the password.
pub fn place(url: &str) -> String {
    let Ok(config) = url.parse::<Config>() else { return "--jobs-db".to_owned() };
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    let host = match hosts.first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "localhost".to_owned(),
    };
    format!("{host}:{}, database {}", ports.first().unwrap_or(&5432), config.get_dbname().unwrap_or("of the user"))
}

/// An error of the client as one of ours.
pub fn of(error: tokio_postgres::Error) -> StoreError {
    // Classes of codes: what is wrong with the connection, with room, and with a server that is stopped or interrupted.
    let is_passing = |code: &str| ["08", "53", "57"].iter().any(|class| code.starts_with(class));
    match error.code() {
        Some(code) if !is_passing(code.code()) => StoreError::Postgres(told(&error)),
        _ => StoreError::Unreachable(told(&error)),
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

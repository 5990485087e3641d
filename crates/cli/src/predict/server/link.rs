//! Requests to a service, and what is done when it, or the way to it, fails.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use unscene_engine::EngineError;
use ureq::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use ureq::http::request::Builder;
use ureq::http::{Request, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body};

use super::super::bar::Bar;
use crate::interrupt;

/// Time to make a connection in.
const CONNECT: Duration = Duration::from_secs(10);
/// Silence of the service, or of its network, after which a connection is given up. Events come every 15 seconds at least.
pub const SILENCE: Duration = Duration::from_secs(60);
/// Time for what is done on the way out.
const FAREWELL: Duration = Duration::from_secs(5);
/// How soon Ctrl-C is heard.
const POLL: Duration = Duration::from_millis(50);
/// How long nothing may come of trying again.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pauses between tries: the first, and the longest unless the service asks for more.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Largest answer: several times the largest that a service gives.
const MAX_ANSWER: u64 = 1 << 30;
/// Largest problem document.
const MAX_PROBLEM: u64 = 1 << 16;

/// Why there is no answer that can be used.
#[derive(Debug)]
pub enum ServerError {
    /// Nobody answers.
    Unreachable {
        /// The service.
        url: String,
        /// What happened instead.
        reason: String,
    },
    /// The answer is not of a service that this command knows.
    Foreign {
        /// The service.
        url: String,
        /// What it says.
        found: String,
    },
    /// The video is larger than the service takes.
    TooLarge {
        /// The service.
        url: String,
        /// Bytes of the video.
        bytes: u64,
        /// Bytes that the service takes.
        most: u64,
    },
    /// The service says no.
    Refused {
        /// The service.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The problem document, or nothing where something before the service has answered.
        problem: Option<Problem>,
        /// Seconds after which it may say something else.
        retry_after_s: Option<u64>,
    },
}

/// What is wrong, as a service says it (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// What kind it is of.
    pub r#type: String,
    /// The HTTP status.
    pub status: u16,
    /// What was found, what was expected, and what to do.
    pub detail: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, reason } => {
                write!(f, "{url} does not answer: {reason}; see that a service runs there and can be reached from here")
            }
            Self::Foreign { url, found } => write!(
                f,
                "{url}: found {found}, expected the answer of `unscene serve`; give the address of one, of this version"
            ),
            Self::TooLarge { url, bytes, most } => write!(
                f,
                "the video has {bytes} bytes, and {url} takes {most}; send a shorter or smaller one, or raise its --max-body-mib"
            ),
            Self::Refused { url, status, problem, .. } => {
                let detail = problem.as_ref().map_or(
                    "no explanation of `unscene serve`; see that it runs at this address, and what a proxy before it does",
                    |problem| &problem.detail,
                );
                write!(f, "{detail} (status {status} of {url})")?;
                if *status == 401 {
                    write!(f, "; give a key with --api-key-file FILE or the variable UNSCENE_API_KEY")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ServerError {}

impl ServerError {
    /// Whether only the video is at fault, so that others may fare better.
    pub fn is_of_one_video(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Foreign { .. } => false,
            Self::TooLarge { .. } => true,
            // Too large, no video, not usable, or too much to do; the last two are of jobs that were begun too often or in vain.
            Self::Refused { status, .. } => matches!(status, 413 | 415 | 422 | 504 | 500),
        }
    }

    /// Whether another input might have avoided it.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Unreachable { .. } => false,
            Self::Foreign { .. } | Self::TooLarge { .. } => true,
            Self::Refused { status, .. } => (400..500).contains(status) && !matches!(status, 408 | 409 | 423 | 429),
        }
    }

    /// Whether the same may go well a little later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Foreign { .. } | Self::TooLarge { .. } => false,
            Self::Refused { status, problem, retry_after_s, .. } => match status {
                // Slow, or an upload that another connection still has in hand.
                408 | 409 | 423 => true,
                // The service says when there is hope; what is before it does not always.
                429 | 502..=504 => retry_after_s.is_some() || problem.is_none(),
                _ => false,
            },
        }
    }
}

/// A service, and the way to it.
pub struct Link {
    agent: Agent,
    url: String,
    key: Option<HeaderValue>,
}

impl Link {
    /// To the service at an address, with its API key. `certificates` are PEM, trusted instead of those that all trust.
    /// After Ctrl-C, whatever waits for the service ends.
    ///
    /// # Errors
    ///
    /// When the address, the key or the certificates are none.
    pub fn new(url: &str, key: Option<&str>, certificates: Option<&[u8]>) -> Result<Self> {
        if !["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme)) {
            bail!("--server: found {url:?}, expected an address such as http://127.0.0.1:8080");
        }
        let bearer = |key: &str| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        };
        let key = key.map(bearer).transpose().context("the API key cannot be sent: expected one line of ASCII")?;
        let roots = match certificates {
            Some(pem) => {
                let items = parse_pem(pem).filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                });
                let certificates: Vec<_> = items.collect();
                if certificates.is_empty() {
                    bail!("--server-ca: found no certificate in the file, expected PEM");
                }
                RootCerts::from(certificates)
            }
            None => RootCerts::WebPki,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .user_agent(concat!("unscene/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_resolve(Some(CONNECT))
            .timeout_per_write(Some(SILENCE))
            .build();
        let agent = Agent::new_with_config(config);
        let waits = agent.clone();
        std::thread::spawn(move || {
            while interrupt::control().is_continue() {
                sleep(POLL);
            }
            waits.shutdown();
        });
        Ok(Self { agent, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The beginning of a request. `path` begins with a slash.
    pub fn request(&self, method: &str, path: &str) -> Builder {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let (Some(key), Some(headers)) = (&self.key, request.headers_mut()) {
            headers.insert(AUTHORIZATION, key.clone());
        }
        request
    }

    /// Sends a request and waits for an answer of 2xx, for as long as nothing comes.
    ///
    /// # Errors
    ///
    /// [`ServerError`], or [`EngineError::Cancelled`] after Ctrl-C.
    pub fn send(&self, request: Builder, body: impl AsSendBody, silence: Duration) -> Result<Response<Body>> {
        let request = request.body(body).map_err(|error| self.unreachable(error.to_string()))?;
        let request = self.agent.configure_request(request).timeout_per_read(Some(silence)).build();
        let mut response = self.agent.run(request).map_err(|error| self.lost(error.into_io()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after_s = header(response.headers(), RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        let text = response.body_mut().with_config().limit(MAX_PROBLEM).read_to_vec().unwrap_or_default();
        bail!(ServerError::Refused {
            url: self.url.clone(),
            status,
            problem: serde_json::from_slice(&text).ok(),
            retry_after_s,
        })
    }

    /// The JSON of an answer.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn json<T: DeserializeOwned>(&self, mut response: Response<Body>) -> Result<T> {
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let text = text.map_err(|error| self.lost(error.into_io()))?;
        serde_json::from_slice(&text).map_err(|error| self.foreign(error.to_string()))
    }

    /// Has the service forget something, if it hears; also after Ctrl-C.
    pub fn forget(&self, request: Builder) {
        // The agent of other requests takes none after Ctrl-C.
        let agent = self.agent.config().clone().new_agent();
        if let Ok(request) = request.body(()) {
            let request = agent.configure_request(request).timeout_global(Some(FAREWELL)).build();
            // The service forgets by itself, later.
            let _ = agent.run(request);
        }
    }

    /// What it means that a connection broke.
    pub fn lost(&self, error: std::io::Error) -> anyhow::Error {
        match interrupt::control().is_break() {
            true => EngineError::Cancelled.into(),
            false => self.unreachable(error.to_string()),
        }
    }

    fn unreachable(&self, reason: String) -> anyhow::Error {
        ServerError::Unreachable { url: self.url.clone(), reason }.into()
    }

    /// An answer that is not understood.
    pub fn foreign(&self, found: String) -> anyhow::Error {
        ServerError::Foreign { url: self.url.clone(), found }.into()
    }

    /// A problem that is told of within an answer.
    pub fn problem(&self, problem: Problem) -> anyhow::Error {
        let (url, status) = (self.url.clone(), problem.status);
        ServerError::Refused { url, status, problem: Some(problem), retry_after_s: None }.into()
    }
}

/// A header's text.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Pauses that grow while nothing comes of trying again, for a while.
#[derive(Default)]
pub struct Patience {
    tries: u32,
    since: Option<Instant>,
}

impl Patience {
    /// Waits before the next try, and says so.
    ///
    /// # Errors
    ///
    /// The given one, if it does not pass or has lasted too long; [`EngineError::Cancelled`] after Ctrl-C.
    pub fn wait(&mut self, error: anyhow::Error, bar: &mut Bar) -> Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let (reason, asked) = match error.downcast_ref::<ServerError>() {
            Some(failure) if !failure.may_pass() || since.elapsed() > PATIENCE => return Err(error),
            Some(ServerError::Refused { retry_after_s, status, .. }) => {
                let reason = if *status == 429 { "the service is full" } else { "the service is not ready" };
                (reason, retry_after_s.map(Duration::from_secs))
            }
            Some(_) => ("connection lost", None),
            None => return Err(error),
        };
        let grown = FIRST_PAUSE.saturating_mul(1 << self.tries.min(5)).min(LONGEST_PAUSE);
        self.tries += 1;
        bar.wait(&format!("{reason}, trying again"));
        pause(asked.unwrap_or_default().min(PATIENCE).max(grown))
    }
}

/// Waits.
///
/// # Errors
///
/// [`EngineError::Cancelled`] after Ctrl-C.
fn pause(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        if interrupt::control().is_break() {
            return Err(EngineError::Cancelled.into());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(POLL));
    }
}

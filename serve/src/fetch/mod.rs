//! Videos by URL, from the hosts that the operator names and no others.
//!
//! Who gives a URL must not come to speak through the service with what only the service can reach (server-side request forgery).
//! Hosts are looked at by name; every address that a name leads to is looked at when it is looked up for the connection itself, so
//! that it cannot be another one then; and redirects are followed here, each as a URL of its own. Proxies of the environment are not
//! used: they would look names up by themselves.

mod addresses;
mod buckets;
mod hosts;

use std::error::Error as _;
use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use futures_util::TryStreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, Url, redirect};

use crate::error::{ApiError, shorten};
use crate::options::ServeOptions;
use crate::upload::{Upload, UploadRules, receive_stream};
use addresses::is_public;
use buckets::Buckets;
use hosts::Hosts;

pub use hosts::host;

/// Redirects that are followed.
const REDIRECTS: usize = 5;
/// How long the other end may be silent: before it is connected, before its answer, and in the middle of it.
const SILENCE: Duration = Duration::from_secs(10);

/// Gets videos.
pub struct Fetcher {
    client: Client,
    hosts: Arc<Hosts>,
    buckets: Buckets,
}

impl Fetcher {
    /// As the operator says; none where nothing is named.
    ///
    /// # Errors
    ///
    /// When HTTPS is not to be had, or there are no credentials for buckets.
    pub fn new(options: &ServeOptions) -> Result<Option<Self>, String> {
        let ServeOptions { fetch_hosts, fetch_local_hosts, fetch_buckets, .. } = options;
        if [fetch_hosts, fetch_local_hosts, fetch_buckets].iter().all(|named| named.is_empty()) {
            return Ok(None);
        }
        let buckets = Buckets::new(options)?;
        let hosts = Hosts::new(fetch_hosts, fetch_local_hosts, buckets.own_host.clone());
        let both = |host| format!("{host} is named by --fetch-host and by --fetch-local-host; name it once");
        let hosts = Arc::new(hosts.map_err(both)?);
        crate::tls::use_ring();
        let client = Client::builder()
            .user_agent(concat!("unscene/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            .dns_resolver(Arc::new(Checked(hosts.clone())));
        let client = client.build().map_err(|error| told(&error))?;
        Ok(Some(Self { client, hosts, buckets }))
    }

    /// Where a video that a client names is to be fetched from, if it may be.
    ///
    /// # Errors
    ///
    /// [`ApiError::BadUrl`].
    pub fn address(&self, text: &str) -> Result<Url, ApiError> {
        match Url::parse(text) {
            Ok(url) if url.scheme() == "s3" => {
                self.buckets.address(&url).map_err(|what| ApiError::BadUrl { url: shorten(text), what })
            }
            _ => self.check(text),
        }
    }

    /// The URL, if it is one that may be fetched from.
    fn check(&self, text: &str) -> Result<Url, ApiError> {
        let wrong = |what: &str| ApiError::BadUrl { url: shorten(text), what: what.to_owned() };
        let url = Url::parse(text).map_err(|error| wrong(&format!("it cannot be read: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("give one with https://, http:// or s3://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it has a name or a password in it; leave them out"));
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong("it has no host"));
        };
        if !self.hosts.has(host, port) {
            return Err(wrong("the operator of this service has not named its host with --fetch-host"));
        }
        // The client does not look these up.
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if address.is_ok_and(|address| !is_public(address)) && !self.hosts.is_local(host) {
            return Err(wrong(
                "its address is private, local or for another purpose, and --fetch-local-host does not name it",
            ));
        }
        Ok(url)
    }

    /// Fetches a video.
    ///
    /// # Errors
    ///
    /// [`ApiError::BadUrl`], [`ApiError::NotFetched`] when the other end does not give it, or redirects to what may not be fetched,
    /// [`ApiError::TooLarge`], [`ApiError::Exhausted`].
    pub async fn fetch(&self, text: &str, rules: &UploadRules) -> Result<Upload, ApiError> {
        let response = self.ask(self.address(text)?).await?;
        let is_too_large = response.content_length().is_some_and(|length| length > rules.max_bytes);
        if is_too_large {
            return Err(too_large(rules.max_bytes));
        }
        let bytes = response
            .bytes_stream()
            .map_err(|error| PayloadError::Io(Error::new(ErrorKind::ConnectionReset, told(&error))));
        let upload = receive_stream(Box::pin(bytes), rules).await;
        upload.map_err(|error| match error {
            ApiError::BadUpload(what) => ApiError::NotFetched(what.replace("the request body", "it")),
            ApiError::TooLarge(_) => too_large(rules.max_bytes),
            ApiError::SlowUpload { bytes, seconds } => {
                ApiError::NotFetched(format!("it brought fewer than {bytes} bytes in {seconds} s"))
            }
            other => other,
        })
    }

    /// The answer, after redirects.
    async fn ask(&self, mut url: Url) -> Result<Response, ApiError> {
        for _ in 0..=REDIRECTS {
            let response = self.client.get(url.clone()).send().await;
            let response = response.map_err(|error| ApiError::NotFetched(told(&error)))?;
            let status = response.status().as_u16();
            let location = response.headers().get(LOCATION.as_str()).and_then(|location| location.to_str().ok());
            match (status, location) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    let next = url
                        .join(location)
                        .map_err(|error| ApiError::NotFetched(format!("a redirect cannot be read: {error}")))?;
                    // The client is not told where to: that is the other end's matter.
                    url = self.check(next.as_str()).map_err(|error| match error {
                        ApiError::BadUrl { what, .. } => {
                            ApiError::NotFetched(format!("it redirects to another URL: {what}"))
                        }
                        other => other,
                    })?;
                }
                (200, _) => return Ok(response),
                _ => {
                    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
                    return Err(ApiError::NotFetched(format!(
                        "the other end answers {status} {}",
                        reason.unwrap_or_default()
                    )));
                }
            }
        }
        Err(ApiError::NotFetched(format!("there are more than {REDIRECTS} redirects")))
    }
}

fn too_large(most: u64) -> ApiError {
    ApiError::TooLarge(format!(
        "the video has more than {most} bytes, the most that this service fetches (--max-body-mib)"
    ))
}

/// Looks names up, and gives none whose address is not public.
struct Checked(Arc<Hosts>);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, is_local) = (name.as_str().to_owned(), self.0.is_local(name.as_str()));
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if found.iter().any(|address| !is_public(address.ip())) && !is_local {
                return Err(
                    format!("the address of {} is private, local or for another purpose, and --fetch-local-host does not name it", shorten(&host)).into()
                );
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// An error with what is behind it, and without the URL, which may have a signature in it.
fn told(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut last = None;
    while let Some(error) = source {
        last = Some(error.to_string());
        source = error.source();
    }
    let kind = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "no connection"
    } else {
        "it was not answered"
    };
    last.map_or_else(|| kind.to_owned(), |last| format!("{kind}: {last}"))
}

//! Videos in an object store that speaks S3, from the buckets that the operator names.

use std::time::Duration;

use reqwest::Url;
use rusty_s3::actions::{GetObject, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};

use crate::options::ServeOptions;

/// How long a signed address holds: until the fetch has begun.
const HOLDS: Duration = Duration::from_secs(300);

/// The buckets, and the operator's credentials for them.
pub struct Buckets {
    named: Vec<Bucket>,
    credentials: Credentials,
    /// The host of a store that the operator names, which may be anywhere; none of the usual one.
    pub own_host: Option<String>,
}

impl Buckets {
    /// Those of the options, by what the environment says of the store as other programs know it.
    ///
    /// # Errors
    ///
    /// What is missing or wrong, for people.
    pub fn new(options: &ServeOptions) -> Result<Self, String> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if options.fetch_buckets.is_empty() {
            return Ok(Self { named: vec![], credentials: Credentials::new("", ""), own_host: None });
        }
        let credentials = Credentials::from_env()
            .ok_or("--fetch-bucket needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")?;
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        let endpoint = set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL"));
        // Stores of one's own have no name for each bucket, and mostly no region.
        let (endpoint, style, region) = match (endpoint, region) {
            (Some(endpoint), region) => (endpoint, UrlStyle::Path, region.unwrap_or_else(|| "us-east-1".to_owned())),
            (None, Some(region)) => (format!("https://s3.{region}.amazonaws.com"), UrlStyle::VirtualHost, region),
            (None, None) => {
                return Err("--fetch-bucket needs AWS_REGION, or AWS_ENDPOINT_URL_S3, in the environment".to_owned());
            }
        };
        let url = Url::parse(&endpoint).map_err(|error| format!("AWS_ENDPOINT_URL_S3 is `{endpoint}`: {error}"))?;
        let bucket = |name: &String| {
            let bucket = Bucket::new(url.clone(), style, name.clone(), region.clone());
            bucket.map_err(|error| format!("--fetch-bucket {name}: {error}"))
        };
        let named = options.fetch_buckets.iter().map(bucket).collect::<Result<_, _>>()?;
        let own_host = matches!(style, UrlStyle::Path).then(|| url.host_str().map(str::to_owned)).flatten();
        Ok(Self { named, credentials, own_host })
    }

    /// An address that an object can be fetched from, of a URL as `s3://BUCKET/KEY`.
    ///
    /// # Errors
    ///
    /// What is wrong, for people.
    pub fn address(&self, url: &Url) -> Result<Url, String> {
        let name = url.host_str().unwrap_or_default();
        let bucket = self.named.iter().find(|bucket| bucket.name() == name);
        let bucket = bucket.ok_or("the operator of this service has not named its bucket with --fetch-bucket")?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.port().is_none();
        if !is_plain || !url.username().is_empty() || url.password().is_some() {
            return Err(
                "there is more in it than s3://BUCKET/KEY; leave that out, or write it as %3F, %23 and the like"
                    .to_owned(),
            );
        }
        let key = percent_encoding::percent_decode_str(url.path().strip_prefix('/').unwrap_or_default());
        let key = key.decode_utf8().map_err(|_| "its key is not UTF-8")?;
        // The object's address must be within its bucket.
        if key.is_empty() || key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err("give it as s3://BUCKET/KEY".to_owned());
        }
        Ok(GetObject::new(bucket, Some(&self.credentials), &key).sign(HOLDS))
    }
}

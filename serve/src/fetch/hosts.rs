//! The hosts that an operator names.

use reqwest::Url;

/// Those that videos may be fetched from.
#[derive(Debug)]
pub struct Hosts {
    named: Vec<Host>,
    /// That of the operator's own object store, which may be anywhere, and which no URL may name.
    store: Option<String>,
}

/// One of them, as it is written: `example.org`, `example.org:8443` or `*.example.org`, which is every name that ends so.
#[derive(Debug)]
struct Host {
    name: String,
    port: Option<u16>,
    is_local: bool,
}

impl Hosts {
    /// Public ones, those of a network of one's own, and that of an object store.
    ///
    /// # Errors
    ///
    /// The name of one that is to be both.
    pub fn new(public: &[String], local: &[String], store: Option<String>) -> Result<Self, String> {
        let all = public.iter().map(|text| (text, false)).chain(local.iter().map(|text| (text, true)));
        let named = all.filter_map(|(text, is_local)| split(text).map(|(name, port)| Host { name, port, is_local }));
        let named: Vec<Host> = named.collect();
        // Addresses are looked at by name, and a name has all ports.
        let is_both = |host: &&Host| !host.is_local && named.iter().any(|other| other.is_local && other.is(&host.name));
        match named.iter().find(is_both) {
            Some(host) => Err(host.name.clone()),
            None => Ok(Self { named, store }),
        }
    }

    /// Whether the host of a URL is one of them. One without a port is at the usual ones.
    pub fn has(&self, host: &str, port: u16) -> bool {
        let is_store = self.store.as_deref() == Some(host);
        !is_store
            && self
                .named
                .iter()
                .any(|named| named.is(host) && named.port.map_or(matches!(port, 80 | 443), |own| own == port))
    }

    /// Whether its addresses may be private.
    pub fn is_local(&self, host: &str) -> bool {
        self.named.iter().any(|named| named.is_local && named.is(host)) || self.store.as_deref() == Some(host)
    }
}

impl Host {
    fn is(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self.name.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => host == self.name,
        }
    }
}

/// A host of the command line.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn host(text: &str) -> Result<String, String> {
    match split(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("`{text}` is no host: give a name such as example.org, *.example.org or example.org:8443")),
    }
}

/// Name and port. The name is written as URLs have it when they were read.
fn split(text: &str) -> Option<(String, Option<u16>)> {
    // The colons of an address in brackets are its own.
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    let (any, name) = name.strip_prefix("*.").map_or(("", name), |rest| ("*.", rest));
    let is_name = !name.is_empty() && !name.contains(['*', '/', '\\', '@', '?', '#', ' ']);
    let url = Url::parse(&format!("http://{name}/")).ok().filter(|_| is_name)?;
    Some((format!("{any}{}", url.host_str()?.trim_end_matches('.')), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_are_named() {
        let named = ["videos.example.org", "*.example.com", "other.org:8443", "[2606:0::1]", "bücher.de", "*.house"]
            .map(str::to_owned);
        let hosts = Hosts::new(&named, &["nas.home:80".to_owned()], Some("store.home".to_owned())).unwrap();
        for (host, port) in [
            ("videos.example.org", 443),
            ("Videos.Example.ORG.", 80),
            ("a.example.com", 443),
            ("a.b.example.com", 443),
            ("other.org", 8443),
            ("[2606::1]", 443),
            ("nas.home", 80),
            ("xn--bcher-kva.de", 443),
        ] {
            assert!(hosts.has(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("example.org", 443),
            ("videos.example.org", 22),
            ("example.com", 443),
            ("aexample.com", 443),
            ("other.org", 443),
            ("videos.example.org.evil.org", 443),
            ("nas.home", 8080),
            ("store.home", 443),
        ] {
            assert!(!hosts.has(host, port), "{host}:{port}");
        }
        assert!(hosts.is_local("nas.home") && hosts.is_local("store.home") && !hosts.is_local("videos.example.org"));
        for wrong in
            ["", "*", "*.", "http://example.org", "example.org/videos", "a:b", "a:99999", "me@example.org", "*.a.*"]
        {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}

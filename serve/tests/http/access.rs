//! Who may do what, from where, and over what.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest, Sha256};
use unscene_serve::Service;

use crate::client::{PROGRAM, Response, TestServer, options, read, wait_until};

pub fn key(name: &str, key: &str, rest: &str) -> String {
    let hash: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[key]]\nname = \"{name}\"\nsha256 = \"{hash}\"\n{rest}\n")
}

#[test]
fn a_key_lets_in_for_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let shop = key("shop", "sesame", "scopes = [\"predict\"]\nper_minute = 3");
    fs::write(&path, shop.clone() + &key("boss", "open", "scopes = [\"admin\"]")).unwrap();
    let server = TestServer::start(&["--api-keys", path.to_str().unwrap(), "--reload-every-s", "0.02"]);
    let video = read("red.mp4");
    let ask = |method: &str, path: &str, key: &str| {
        let bearer = format!("Bearer {key}");
        let body: &[u8] = if path == "/v1/classify" { &video } else { &[] };
        server.send(method, path, &[("Authorization", &bearer)], body)
    };
    for probe in ["/livez", "/startupz", "/readyz", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(server.get(probe).status, 200, "probes need no key");
    }
    let nobody = server.post("/v1/classify", &video);
    nobody.assert_problem(401, "needs an API key");
    assert!(nobody.head.contains("www-authenticate: bearer"), "{}", nobody.head);
    ask("POST", "/v1/classify", "wrong").assert_problem(401, "not known");
    let tensors = server.post("/v2/models/tiny/infer", b"{}");
    tensors.assert_problem(401, "needs an API key");
    assert_eq!(tensors.json()["error"], tensors.json()["detail"]);
    assert_eq!(ask("POST", "/v1/classify", "sesame").status, 200);
    assert_eq!(ask("GET", "/v1/models", "sesame").status, 200);
    ask("POST", "/v1/classify", "open").assert_problem(403, "`boss` is not for this");
    for (method, path) in [("GET", "/metrics"), ("POST", "/v1/models/tiny/reload")] {
        ask(method, path, "sesame").assert_problem(403, "`shop` is not for this");
        assert_eq!(ask(method, path, "open").status, 200, "{path}");
    }
    // However it is written.
    for (method, path) in [("GET", "/%6detrics"), ("POST", "/v1/models/tiny/r%65load"), ("GET", "/met%72ics")] {
        let answer = ask(method, path, "sesame");
        assert!(matches!(answer.status, 403 | 404), "{path}: {}", answer.text());
    }
    // What is not allowed does not count; what is counts, whatever comes of it.
    ask("POST", "/v1/classify?top_k=0", "sesame").assert_problem(400, "top_k");
    let often = ask("POST", "/v1/classify", "sesame");
    often.assert_problem(429, "more often than it may");
    assert!(often.head.contains("retry-after: "), "{}", often.head);
    // A key that is taken away is of no more use.
    fs::write(&path, key("boss", "open", "scopes = [\"admin\"]")).unwrap();
    wait_until("the key is of no use", || ask("GET", "/v1/models", "sesame").status == 401);
}

#[test]
fn a_request_has_an_id_in_its_answer() {
    let server = TestServer::start(&[]);
    let given = server.send("GET", "/livez", &[("X-Request-Id", "order-7")], &[]);
    assert!(given.head.contains("x-request-id: order-7"), "{}", given.head);
    let id = |response: &Response| {
        let line = response.head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        line.unwrap_or_else(|| panic!("no id: {}", response.head)).to_owned()
    };
    let [first, second] = ["/livez", "/nowhere"].map(|path| id(&server.get(path)));
    assert!(first != second && first.len() == 36, "{first} {second}");
    // What would break a log is not taken over.
    for unfit in ["two words", &"x".repeat(129)] {
        let made = id(&server.send("GET", "/livez", &[("X-Request-Id", unfit)], &[]));
        assert_eq!(made.len(), 36, "{made}");
    }
}

#[test]
fn long_answers_are_compressed_for_who_takes_that() {
    let server = TestServer::start(&[]);
    let plain = server.get("/metrics");
    assert!(!plain.head.contains("content-encoding"), "{}", plain.head);
    let packed = server.send("GET", "/metrics", &[("Accept-Encoding", "gzip")], &[]);
    assert!(packed.head.contains("content-encoding: gzip"), "{}", packed.head);
    assert!(packed.head.contains("vary: accept-encoding"), "{}", packed.head);
    let crowd = TestServer::start_with("crowd", &[]);
    let headers = [("Accept", "application/x-ndjson"), ("Accept-Encoding", "gzip")];
    let lines = crowd.send("POST", "/v1/detect", &headers, &read("red.mp4"));
    assert!(lines.status == 200 && !lines.head.contains("gzip"), "lines come one by one: {}", lines.head);
}

#[test]
fn pages_of_an_origin_that_is_named_may_call() {
    let server = TestServer::start(&["--cors-origin", "https://shop.example"]);
    let preflight = |origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        server.send("OPTIONS", "/v1/classify", &headers, &[])
    };
    let allowed = preflight("https://shop.example");
    assert_eq!(allowed.status, 200, "{}", allowed.text());
    assert!(allowed.head.contains("access-control-allow-origin: https://shop.example"), "{}", allowed.head);
    let refused = preflight("https://elsewhere.example");
    assert!(!refused.head.contains("access-control-allow-origin"), "{}", refused.head);
    let answer = server.send("GET", "/v1/models", &[("Origin", "https://shop.example")], &[]);
    assert!(answer.head.contains("access-control-expose-headers"), "{}", answer.head);
    // Without the flag nothing is said of origins.
    let closed = TestServer::start(&[]);
    let answer = closed.send("GET", "/v1/models", &[("Origin", "https://shop.example")], &[]);
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    for wrong in ["shop.example", "https://", "https://a/b", "https://*.a", "ftp://a"] {
        assert!(options(&["--bundle", "x", "--cors-origin", wrong]).is_err(), "{wrong}");
    }
}

/// A certificate for `localhost` that signs itself, and its key.
fn certificate(folder: &Path) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pems = [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())];
    pems.map(|(name, pem)| {
        let path = folder.join(name);
        fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn a_certificate_makes_it_https() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(folder.path());
    let bundle = crate::client::fixture("tiny");
    let flags = ["--bundle", bundle.to_str().unwrap(), "--tls-cert", &cert, "--tls-key", &key];
    let server = TestServer::begin(&flags);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let get = || {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), server.connect());
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _end = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let mut answer = get();
    while answer.starts_with("HTTP/1.1 503") {
        thread::sleep(Duration::from_millis(10));
        answer = get();
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[actix_web::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let [_, other_key] = certificate(other.path());
    let empty = folder.path().join("empty.pem").to_str().unwrap().to_owned();
    fs::write(&empty, "").unwrap();
    for (flags, words) in [
        (vec!["--tls-cert", &empty, "--tls-key", &key], "no certificate"),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], "no private key"),
        (vec!["--tls-cert", &cert, "--tls-key", &other_key], "cannot be used together"),
        (vec!["--tls-cert", "/nowhere.pem", "--tls-key", &key], "/nowhere.pem"),
        (vec!["--api-keys", "/nowhere.toml"], "/nowhere.toml: cannot be read"),
    ] {
        let flags = [vec!["--bundle", "x", "--addr", "127.0.0.1:0", "--decode-program", PROGRAM], flags].concat();
        let error = Service::start(options(&flags).unwrap()).err().expect(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(options(&["--bundle", "x", "--tls-cert", &cert]).is_err(), "a certificate needs its key");
}

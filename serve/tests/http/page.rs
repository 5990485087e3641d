//! The page for people, as a browser gets it; tests/check_page.py has a browser use it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::client::{Response, TestServer};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Fails unless an answer has the headers that each of the page's files has.
fn assert_guarded(answer: &Response) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{}", answer.head);
    }
    assert!(answer.header("permissions-policy").unwrap().starts_with("camera=(self), microphone=()"));
}

/// The folder's files: name and text.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())).collect()
}

/// What stands between two pieces of a text, each time.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split(end).next())
}

#[test]
fn the_page_and_its_files_are_served() {
    let server = TestServer::start(&[]);
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_guarded(&page);
    for (name, text) in files() {
        let answer = server.get(&format!("/page/{name}"));
        assert!(answer.status == 200 && answer.text() == text, "{name}: {}", answer.head);
        let kind = match name.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(answer.header("content-type"), Some(kind), "{name}");
        assert_guarded(&answer);
    }
    for path in ["/page/nothing.js", "/page/", "/page", "/page/..%2fCargo.toml", "/index.html"] {
        server.get(path).assert_problem(404, "nothing is served at");
    }
    for path in ["/", "/page/main.js"] {
        let refused = server.send("POST", path, &[], &[]);
        refused.assert_problem(405, "use GET, HEAD");
        assert_eq!(refused.header("allow"), Some("get, head"));
    }
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let server = TestServer::start(&[]);
    for path in ["/", "/page/main.js"] {
        let first = server.get(path);
        let tag = first.header("etag").unwrap().to_owned();
        // W/, and 64 digits of the hash.
        assert_eq!(tag.len(), "w/\"\"".len() + 64, "{tag}");
        let tag = tag.replacen("w/", "W/", 1);
        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
            for more in [&[][..], &[("Accept-Encoding", "gzip")]] {
                let again = server.send("GET", path, &[&[("If-None-Match", known.as_str())], more].concat(), &[]);
                assert_eq!((again.status, again.body.len()), (304, 0), "{known}: {}", again.head);
                assert_guarded(&again);
            }
        }
        let other = server.send("GET", path, &[("If-None-Match", "W/\"other\"")], &[]);
        assert_eq!((other.status, &other.body), (200, &first.body));
        let head = server.send("HEAD", path, &[], &[]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["etag", "content-type", "content-length"] {
            assert_eq!(head.header(name), first.header(name), "{name}");
        }
        let packed = server.send("GET", path, &[("Accept-Encoding", "gzip")], &[]);
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() < first.body.len() / 2);
    }
}

#[test]
fn the_page_needs_no_key_and_its_requests_do() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.toml");
    fs::write(&keys, crate::access::key("shop", "sesame", "scopes = [\"predict\"]")).unwrap();
    let server = TestServer::start(&["--api-keys", keys.to_str().unwrap()]);
    for path in ["/", "/page/main.js"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for path in ["/page/nothing.js", "/page/../v1/models", "/page/%2e%2e/v1/models"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for path in ["/v1/models", "/v1/jobs", "//", "/page"] {
        server.get(path).assert_problem(401, "API key");
    }
}

#[test]
fn whether_there_are_jobs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let with = TestServer::start(&["--jobs", folder.path().to_str().unwrap()]);
    assert_eq!(with.get("/v1/models").json()["jobs"], true);
    assert_eq!(TestServer::start(&[]).get("/v1/models").json()["jobs"], false);
}

#[test]
fn files_name_only_each_other() {
    let files = files();
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let mut used = BTreeSet::from(["index.html"]);
    for (name, text) in &files {
        // The name of a format is no address.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for part in
            ["http:", "https:", "ws:", "wss:", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", " style=\""]
        {
            assert!(!text.contains(part), "{name} has {part}");
        }
        let (begins, folder): (&[&str], _) = if name.ends_with(".html") {
            (&["href=\"", "src=\""], "page/")
        } else {
            (&["from \"./", "import \"./"], "")
        };
        for begin in begins {
            for named in between(&text, begin, "\"").filter(|named| *named != "openapi.json") {
                let file = named.strip_prefix(folder).unwrap_or_else(|| panic!("{name} names {named}"));
                assert!(names.contains(file), "{name} names {named}, which there is not");
                used.insert(names.get(file).unwrap());
            }
        }
        // So that it works behind a proxy, under whatever path.
        for absolute in ["\"/v1", "`/v1", "\"/page", "href=\"/", "src=\"/"] {
            assert!(!text.contains(absolute), "{name} has {absolute}");
        }
        assert!(text.lines().count() < 400, "{name} is long");
    }
    assert_eq!(used, names, "a file that nothing names");
}

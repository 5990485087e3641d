//! Requests to a running service: query, headers, forms and tensors.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use clap::Parser;
use unscene_serve::{ServeOptions, Service};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: ServeOptions,
}

/// Models of every task, as paths from this package.
const BUNDLES: [&str; 3] =
    ["../serve/tests/fixtures/tiny", "../crates/engine/tests/fixtures/localizer", "../serve/tests/fixtures/detector"];
/// What takes videos, and rows of two graphs that are small.
const ROUTES: [&str; 6] = [
    "v1/classify",
    "v1/localize",
    "v1/detect",
    "v1/predict",
    "v2/models/localizer.head/infer",
    "v2/models/detector/infer",
];

/// A service in this process that ends with it.
static SERVICE: LazyLock<SocketAddr> = LazyLock::new(|| {
    let flags = [
        "fuzz",
        "--addr=127.0.0.1:0",
        "--engine=tract",
        "--reload-every-s=0",
        "--max-body-mib=1",
        "--decode-timeout-s=120",
    ];
    let bundles = BUNDLES.map(|bundle| format!("--bundle={}/{bundle}", env!("CARGO_MANIFEST_DIR")));
    let options = Cli::parse_from(flags.map(String::from).into_iter().chain(bundles)).options;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let service = Service::start(options).expect("the service starts");
            sender.send(service.addr()).expect("somebody waits for it");
            service.serve().await.expect("the service goes on");
        });
    });
    let addr = receiver.recv().expect("the service starts");
    while !ask(addr, b"GET /startupz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with(b"HTTP/1.1 200") {
        thread::sleep(Duration::from_millis(10));
    }
    addr
});

/// A request to one of the routes: its query in the first line, more headers up to an empty line, then the body. It is answered, and not
/// with a failure of the service.
pub fn request(data: &[u8]) {
    let Some((route, data)) = data.split_first() else { return };
    let text = |end: Option<usize>| data[..end.unwrap_or(data.len())].iter().map(|byte| *byte as char);
    let line = data.iter().position(|byte| *byte == b'\n');
    let head = data.windows(2).position(|bytes| bytes == b"\n\n");
    let query: String = text(line).filter(char::is_ascii_graphic).collect();
    let headers = text(head).skip(line.unwrap_or(data.len()) + 1).filter(|c| *c == '\n' || (' '..'\x7f').contains(c));
    let headers: String = headers
        .collect::<String>()
        .lines()
        .filter(|line| is_harmless(line))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let body = head.map_or(&[][..], |end| &data[end + 2..]);
    let (route, length) = (ROUTES[usize::from(*route) % ROUTES.len()], body.len());
    let head = format!(
        "POST /{route}?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    let answer = ask(*SERVICE, &[head.as_bytes(), body].concat());
    let answer = String::from_utf8_lossy(&answer);
    let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer");
    // A client that asks for less time than there is gets that.
    assert!((200..500).contains(&status) || status == 504, "{answer}");
}

/// Whether the frame of the request stays as it is.
fn is_harmless(header: &str) -> bool {
    let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name
        && !["content-length", "transfer-encoding", "connection", "expect", "upgrade", "host"].contains(&name.as_str())
}

fn ask(addr: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).expect("the service listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time can be set");
    // It may answer before it has read all.
    let _ = stream.write_all(request);
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer);
    answer
}

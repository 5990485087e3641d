//! A PostgreSQL server of Debian's package, started by the test and stopped with it.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The user `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// A server with one role, `unscene`, that may do everything and needs no password.
pub struct Database {
    port: u16,
    folder: tempfile::TempDir,
    server: Option<Child>,
}

impl Database {
    /// Starts one, on a port that is free.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut database = Self { port, folder, server: None };
        if rustix::process::geteuid().is_root() {
            chown(database.folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made =
            database.command("initdb").args(["--username=unscene", "--auth=trust", "--no-sync"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        database.go_on();
        database
    }

    /// Starts it again after [`stop`](Self::stop).
    pub fn go_on(&mut self) {
        let port = self.port.to_string();
        let log = self.folder.path().join("log");
        let start = || {
            let mut server = self.command("postgres");
            // A socket would be in a folder that others use.
            server.args(["-h", "127.0.0.1", "-p", &port, "-k", "", "-c", "fsync=off"]);
            server.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap()
        };
        let mut server = start();
        let is_ready = || {
            let ready = self.command("pg_isready").args(["-h", "127.0.0.1", "-p", &port]).output().unwrap();
            ready.status.success()
        };
        let begun = Instant::now();
        loop {
            // It ends when somebody else has the port, such as a connection of another test.
            if server.try_wait().unwrap().is_some() {
                server = start();
            } else if is_ready() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", fs::read_to_string(&log).unwrap());
            thread::sleep(Duration::from_millis(50));
        }
        self.server = Some(server);
    }

    /// Has it speak TLS after its next start, as `localhost` and with a certificate that signs itself. That one's file.
    pub fn certify(&self) -> PathBuf {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let data = self.folder.path().join("data");
        let [cert, key] = ["server.crt", "server.key"].map(|name| data.join(name));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(&key, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        File::options().append(true).open(data.join("postgresql.conf")).unwrap().write_all(b"ssl = on\n").unwrap();
        cert
    }

    /// Ends it at once, as a machine that fails would; it keeps what was committed.
    pub fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = Pid::from_child(&server);
        // The signal at which it ends its own processes without more ado.
        kill_process(pid, Signal::QUIT).unwrap();
        server.wait().unwrap();
    }

    /// An empty database.
    pub fn make(&self, name: &str) -> String {
        let port = self.port.to_string();
        let made =
            self.command("createdb").args(["-h", "127.0.0.1", "-p", &port, "-U", "unscene", name]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        format!("postgres://unscene@127.0.0.1:{port}/{name}?sslmode=disable")
    }

    /// What a query gives.
    pub fn ask(&self, url: &str, sql: &str) -> String {
        let asked = self.command("psql").args([url, "-A", "-t", "-c", sql]).output().unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8(asked.stdout).unwrap().trim().to_owned()
    }

    /// One of PostgreSQL's programs, by a user that it does not refuse.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(programs().join(name));
        command.env("PGDATA", self.folder.path().join("data")).current_dir(self.folder.path());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where Debian has the programs of the latest version; clients may be there alone.
fn programs() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let servers = found.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    servers.max().expect("PostgreSQL is needed for this test; `make test` installs it, or: apt-get install postgresql")
}

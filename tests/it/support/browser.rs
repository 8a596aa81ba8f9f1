//! A real browser: headless Chromium, where it is installed, in front of a small web server of ours. Loopback only.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// A web server that shows pages and remembers what it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Gallery {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    pages: Mutex<BTreeMap<String, String>>,
    asked: Mutex<Vec<String>>,
    more: Condvar,
}

impl Gallery {
    /// It listens until the test ends.
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let this = Self { port, state: Arc::default() };
        let server = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.answer(&stream));
            }
        });
        this
    }

    /// The address of a path of the server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Shows a page at a path.
    pub(crate) fn hang(&self, path: String, page: String) {
        self.state.pages.lock().expect("the pages").insert(path, page);
    }

    /// What was asked for until somebody asked for `last`.
    pub(crate) fn asked_until(&self, last: &str, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        let mut asked = self.state.asked.lock().expect("the paths");
        while !asked.iter().any(|path| path == last) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the browser has not asked for {last} but for {} others", asked.len());
            asked = self.state.more.wait_timeout(asked, left).expect("the paths").0;
        }
        asked.clone()
    }

    fn answer(&self, mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines();
        let Some(Ok(request)) = lines.next() else { return };
        // A server that closes before it has read the rest would break the connection.
        let _rest = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let page = self.state.pages.lock().expect("the pages").get(&path).cloned();
        let (status, page) = page.map_or(("404 Not Found", String::new()), |page| ("200 OK", page));
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            page.len()
        );
        // The browser may have gone elsewhere.
        let _gone = stream.write_all((head + &page).as_bytes());
        self.state.asked.lock().expect("the paths").push(path);
        self.state.more.notify_all();
    }
}

/// A browser with an empty profile. Dropping it ends it.
pub(crate) struct Browser {
    child: Child,
    _profile: TempDir,
}

fn program() -> Option<PathBuf> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

impl Browser {
    /// Opens a page; `None`, and a word about it, where there is no browser to be had.
    pub(crate) fn open(url: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: no Chromium is installed (tests/run installs it)");
            return None;
        };
        let profile = tempfile::Builder::new().prefix("mailbridge-chromium-").tempdir().expect("a folder");
        let child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--disable-extensions", "--mute-audio", "--window-size=1280,1024"])
            .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium");
        Some(Self { child, _profile: profile })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            let _gone = kill_process_group(group, Signal::KILL);
        }
        let _status = self.child.wait();
    }
}

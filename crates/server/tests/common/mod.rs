//! The real program on free ports, and the smallest clients that can talk to it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "shared by tests, each of which uses its own part"
)]

pub mod http2;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket, handshake::client::Response as Handshake};

/// More than anything here should ever take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The program with nothing of this machine in its environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_columba"));
    command.env_clear();
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

/// A folder of the test's own, gone at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("columba-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the folder is writable");
        path.to_str().expect("the path is text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server on 127.0.0.1.
pub struct Server {
    child: Child,
    lines: Mutex<Receiver<String>>,
    /// Its output until it was ready.
    pub output: String,
    /// The web port.
    pub port: u16,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let base = ["serve", "--listen", "127.0.0.1:0", "--stun-listen", "127.0.0.1:0"];
        Self::spawn(program().args(base).args(arguments))
    }

    /// With exactly these arguments.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("stdout is piped"), sender.clone());
        forward(child.stderr.take().expect("stderr is piped"), sender);
        let mut server = Self { child, lines: Mutex::new(lines), output: String::new(), port: 0 };
        server.wait_for("STUN and TURN:");
        let url =
            server.output.lines().find(|line| line.trim().starts_with("http")).expect("a URL is printed");
        let port = url.trim().trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        server.port = port.expect("the URL has a port");
        server
    }

    /// Reads the output and log of the server until there is a line with this text.
    pub fn wait_for(&mut self, words: &str) {
        loop {
            let line = self
                .lines
                .get_mut()
                .expect("no test panicked")
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("never said {words:?}"));
            self.output.push_str(&line);
            self.output.push('\n');
            if line.contains(words) {
                return;
            }
        }
    }

    /// All that it says from now on, until it ends.
    pub fn rest_of_output(&mut self) -> Vec<String> {
        let lines = self.lines.get_mut().expect("no test panicked");
        let mut rest = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
    }

    /// The port that STUN is served on.
    pub fn stun_port(&self, transport: &str) -> u16 {
        let line =
            self.output.lines().find(|line| line.starts_with("STUN and TURN:")).expect("it is printed");
        let words: Vec<&str> = line.split([' ', ',']).collect();
        let at = words.iter().position(|word| *word == transport).expect("the transport is served");
        words[at + 1].parse().expect("a port follows")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the server runs");
    }

    /// The exit status, for which it has this long.
    pub fn exit_within(&mut self, time: Duration) -> Option<i32> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running after {time:?}");
    }

    /// The bytes of memory that the server has from the system.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is told");
        let kilobytes = line.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
        kilobytes.expect("a number of kB") * 1024
    }

    /// A number of `/metrics`, by its name and labels.
    pub fn metric(&self, name: &str) -> u64 {
        let body = self.request("GET /metrics\nhost: localhost", "").body;
        let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {body}"))
    }

    /// Waits until a number of `/metrics` is as wanted.
    pub fn wait_for_metric(&self, name: &str, wanted: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.metric(name)) {
            assert!(Instant::now() < deadline, "{name} stays {}", self.metric(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the web port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// One request on a connection of its own. `head` is the request line and headers, without
    /// `Host`.
    pub fn request(&self, head: &str, body: &str) -> Answer {
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let headers: String = headers.lines().map(|header| format!("{}\r\n", header.trim())).collect();
        let mut stream = self.connect();
        let host = if headers.to_ascii_lowercase().contains("host:") { "" } else { "host: a.test:99\r\n" };
        write!(
            stream,
            "{line} HTTP/1.1\r\n{host}connection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        )
        .expect("the request is taken");
        Answer::read(stream)
    }

    /// Enters a session over HTTP: the answer, and the header that proves it.
    pub fn join(&self, message: &str) -> (Value, String) {
        let answer = self.request("POST /v1/signal", message);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let joined = answer.json();
        let bearer = format!("authorization: Bearer {}.{}", text(&joined["peer"]), text(&joined["secret"]));
        (joined, bearer)
    }

    pub fn try_websocket(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<(Socket, Handshake), tungstenite::Error> {
        let mut request = "ws://a.test:99/v1/signal".into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        tungstenite::client(request, self.connect()).map_err(|error| match error {
            tungstenite::HandshakeError::Failure(error) => error,
            tungstenite::HandshakeError::Interrupted(_) => unreachable!("the socket blocks"),
        })
    }

    pub fn websocket(&self) -> Socket {
        self.try_websocket(&[("sec-websocket-protocol", "columba.v1")]).expect("the handshake succeeds").0
    }
}

fn forward(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        let read = BufReader::new(pipe).lines().map_while(Result::ok);
        read.for_each(|line| drop(lines.send(line)));
    });
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub type Socket = WebSocket<TcpStream>;

/// Sends one message.
pub fn send_text(socket: &mut Socket, message: &str) {
    socket.send(Message::text(message)).expect("the message is taken");
}

/// The next message.
pub fn receive(socket: &mut Socket) -> Value {
    loop {
        match socket.read().expect("the connection is up") {
            Message::Text(text) => return serde_json::from_str(&text).expect("messages are JSON"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?} instead of a message"),
        }
    }
}

/// Reads to the close frame: its code and reason, and the last message before it.
pub fn receive_close(socket: &mut Socket) -> (u16, String, Option<Value>) {
    let mut last = None;
    loop {
        match socket.read().expect("a close frame comes before the end") {
            Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string(), last),
            Message::Text(text) => last = Some(serde_json::from_str(&text).expect("messages are JSON")),
            _ => {}
        }
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

/// An answer over HTTP/1.1.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// Reads to the end of the connection.
    pub fn read(mut stream: impl Read) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("the answer ends");
        let text = String::from_utf8(bytes).expect("answers here are text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let (status, headers) = parse_head(head);
        let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        Self { status, headers, body: if chunked { unchunked(body) } else { body.to_owned() } }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

/// A body without the lengths of its chunks (RFC 9112 §7.1).
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").expect("a chunk has a length");
        let length = usize::from_str_radix(length, 16).expect("the length is hexadecimal");
        if length == 0 {
            return whole;
        }
        let (chunk, rest) = rest.split_at(length);
        whole.push_str(chunk);
        body = rest.strip_prefix("\r\n").expect("a chunk ends");
    }
}

fn parse_head(head: &str) -> (u16, BTreeMap<String, String>) {
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    (status.expect("a status line"), headers)
}

/// A stream of Server-Sent Events.
pub struct Events {
    reader: BufReader<TcpStream>,
    pub status: u16,
    pub headers: BTreeMap<String, String>,
}

/// One event: its id, and its data.
pub type Event = (Option<String>, Value);

impl Events {
    pub fn open(server: &Server, headers: &str) -> Self {
        let mut stream = server.connect();
        let headers: String = headers.lines().map(|header| format!("{}\r\n", header.trim())).collect();
        write!(
            stream,
            "GET /v1/signal/events HTTP/1.1\r\nhost: a.test:99\r\naccept: text/event-stream\r\n{headers}\r\n"
        )
        .expect("the request is taken");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a head comes") > 0, "the connection ended: {head:?}");
        }
        let (status, headers) = parse_head(head.trim_end());
        Self { reader, status, headers }
    }

    /// The next event; comments and the lengths of chunks are skipped. None at the end of the
    /// stream.
    pub fn next(&mut self) -> Option<Event> {
        let (mut id, mut data) = (None, String::new());
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).expect("the stream lives") == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                data.push_str(value);
            } else if line.is_empty() && !data.is_empty() {
                return Some((id, serde_json::from_str(&data).expect("data is JSON")));
            } else if line == "0" {
                return None;
            }
        }
    }

    pub fn close(self) {
        let _ = self.reader.get_ref().shutdown(Shutdown::Both);
    }
}

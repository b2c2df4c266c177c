//! The memory that clients can make the server hold.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::http2::Http2;
use common::{Answer, PATIENCE, Server, Socket, program, receive, send_text};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

/// The options of a server that takes as much as a test wants to send.
const GENEROUS: [&str; 8] = [
    "--max-connections-per-client",
    "3000",
    "--joins-per-minute",
    "100000",
    "--messages-per-second",
    "100000",
    "--message-burst",
    "100000",
];

fn generous(more: &[&str]) -> Server {
    allow_files();
    Server::start(&[&GENEROUS, more].concat())
}

/// One whose allocator keeps nothing that is free, so that its memory is what is in use: how much
/// waits to be given back depends on threads and moments.
fn exact(more: &[&str]) -> Server {
    allow_files();
    let base = ["serve", "--listen", "127.0.0.1:0", "--stun-listen", "127.0.0.1:0"];
    let mut command = program();
    command.env("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
    Server::spawn(command.args(base).args(GENEROUS).args(more))
}

/// A test has more sockets open than most programs may.
fn allow_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit may be raised to its maximum");
}

fn create(socket: &mut Socket) {
    send_text(socket, r#"{"type":"create"}"#);
    assert_eq!(receive(socket)["type"], "joined");
}

/// The growth of the server's memory for each of a thousand things, once a hundred are there.
fn growth<T>(server: &Server, mut open: impl FnMut() -> T) -> u64 {
    const COUNT: u64 = 1000;
    let _first: Vec<T> = (0..100).map(|_| open()).collect();
    let before = server.resident();
    let _open: Vec<T> = (0..COUNT).map(|_| open()).collect();
    server.resident().saturating_sub(before) / COUNT
}

#[test]
fn idle_websocket_member_costs_few_bytes() {
    let server = generous(&[]);
    let each = growth(&server, || {
        let mut socket = server.websocket();
        create(&mut socket);
        socket
    });
    println!("{each} bytes for each idle member");
    assert!(each <= 4700, "{each} bytes for each idle member");
}

#[test]
fn idle_websocket_member_over_tls_costs_few_bytes() {
    let folder = common::Folder::new();
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).expect("a certificate is made");
    let certificate = folder.file("cert.pem", &made.cert.pem());
    let key = folder.file("key.pem", &made.signing_key.serialize_pem());
    let server = generous(&["--tls-cert", &certificate, "--tls-key", &key, "--turns-listen", "off"]);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    let each = growth(&server, || {
        let name = ServerName::try_from("a.test").expect("a name");
        let tls = ClientConnection::new(client.clone(), name).expect("a client");
        let mut request = "wss://a.test/v1/signal".into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "columba.v1".parse().expect("a header"));
        let stream = StreamOwned::new(tls, server.connect());
        let (mut socket, _) = tungstenite::client(request, stream).expect("the handshake succeeds");
        socket.send(Message::text(r#"{"type":"create"}"#)).expect("the message is taken");
        assert!(socket.read().expect("an answer comes").to_text().expect("text").contains("joined"));
        socket
    });
    println!("{each} bytes for each idle member over TLS");
    assert!(each <= 20_000, "{each} bytes for each idle member over TLS");
}

/// A membership with a backlog of so many megabytes: its credential.
fn backlog(server: &Server, megabytes: u64) -> String {
    let (_, reader) = server.join(r#"{"type":"join","session":"attack"}"#);
    let (_, writer) = server.join(r#"{"type":"join","session":"attack"}"#);
    let data = "y".repeat(250_000);
    for seq in 1..=megabytes * 4 {
        let message = json!({"type": "send", "seq": seq, "data": data}).to_string();
        let answer = server.request(&format!("POST /v1/signal/messages\n{writer}"), &message);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    reader.strip_prefix("authorization: ").expect("a header").to_owned()
}

#[test]
fn polls_whose_answers_are_not_taken_cost_little_and_end() {
    let server = exact(&["--request-timeout", "2s"]);
    let bearer = backlog(&server, 3);
    let mut bystander = server.websocket();
    create(&mut bystander);
    for window in [0, 1, 20_000] {
        let before = server.resident();
        let mut connections: Vec<Http2> = (0..20).map(|_| Http2::open(server.connect(), window)).collect();
        for _ in 0..32 {
            for connection in &mut connections {
                connection.get("/v1/signal/events?after=0&wait=0", &[("authorization", &bearer)]);
            }
        }
        server.wait_for_metric("columba_http_connections", |open| open >= 21);
        send_text(&mut bystander, r#"{"type":"ping"}"#);
        assert_eq!(receive(&mut bystander)["type"], "pong");
        let grown = server.resident().saturating_sub(before);
        println!("640 polls of 3 MB took {grown} bytes, window {window}");
        assert!(grown < 25_000_000, "640 polls of 3 MB took {grown} bytes, window {window}");
        // Nothing is taken, and the streams that are stuck are reset; their connections stay.
        server.wait_for_metric("columba_memory_held_bytes{holder=\"answers\"}", |held| held < 20_000);
        if window < 2 {
            server.wait_for_metric("columba_memory_held_bytes{holder=\"http\"}", |held| held < 1_000_000);
        }
        let data: usize = connections.iter_mut().map(Http2::read_data).sum();
        assert!(data <= 640 * window as usize, "{data} bytes of data came");
    }
}

#[test]
fn long_answer_to_a_poll_is_whole_and_comes_in_parts() {
    let server = generous(&[]);
    let bearer = backlog(&server, 3);
    let mut seen = 0;
    while seen < 13 {
        let request = format!("GET /v1/signal/events?after={seen}&wait=0\nauthorization: {bearer}");
        let events = server.request(&request, "").json();
        for event in events.as_array().expect("an array") {
            seen += 1;
            assert_eq!(event["seq"], seen, "in order, each once");
        }
    }
}

#[test]
fn body_of_a_stranger_is_not_read() {
    let server = Server::start(&[]);
    let (_, bearer) = server.join(r#"{"type":"create"}"#);
    let (peer, _) = bearer.split_once('.').expect("peer and secret");
    for (line, header, status) in [
        ("POST /v1/signal/messages", "x: y".to_owned(), 401),
        ("POST /v1/signal/messages", "authorization: Bearer 0123456789abcdef.hush".to_owned(), 410),
        ("POST /v1/signal/messages", format!("{peer}.hush"), 401),
        ("POST /v1/signal", "x: y".to_owned(), 413),
    ] {
        let mut stream = server.connect();
        let head = "host: a.test\r\nconnection: close\r\ncontent-length: 900000";
        write!(stream, "{line} HTTP/1.1\r\n{head}\r\n{header}\r\n\r\n{{").expect("the head is taken");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("the answer comes before the body");
        let expected = format!("HTTP/1.1 {status}");
        assert_eq!(String::from_utf8_lossy(&head), expected, "{line}, {header}");
    }
}

#[test]
fn entering_without_a_length_reads_four_kilobytes() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let head = "host: a.test\r\nconnection: close\r\ntransfer-encoding: chunked";
    write!(stream, "POST /v1/signal HTTP/1.1\r\n{head}\r\n\r\n").expect("the head is taken");
    for _ in 0..5 {
        write!(stream, "400\r\n{}\r\n", "x".repeat(1024)).expect("a chunk is taken");
    }
    let answer = Answer::read(stream);
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("message-too-large")));

    let mut socket = server.websocket();
    send_text(&mut socket, &format!(r#"{{"type":"create","pad":"{}"}}"#, "x".repeat(4096)));
    assert_eq!(common::receive_close(&mut socket).1, "message-too-large", "over WebSocket too");
}

/// A socket of a member that holds an unfinished message of so many bytes.
fn unfinished(server: &Server, bytes: u32) -> Socket {
    let mut socket = server.websocket();
    create(&mut socket);
    let [_, a, b, c] = (bytes + 100).to_be_bytes();
    let head = [0x81, 0xff, 0, 0, 0, 0, 0, a, b, c, 0, 0, 0, 0];
    let stream = socket.get_mut();
    // It may be closed meanwhile.
    let _ = stream.write_all(&head).and_then(|()| stream.write_all(&vec![b'x'; bytes as usize]));
    socket
}

#[test]
fn largest_holders_go_first_and_small_ones_stay() {
    let server = generous(&["--memory-limit", "8MB"]);
    let mut bystanders: Vec<Socket> = (0..20).map(|_| server.websocket()).collect();
    bystanders.iter_mut().for_each(create);
    let before = server.resident();
    let attackers: Vec<Socket> = (0..100).map(|_| unfinished(&server, 400_000)).collect();
    server.wait_for_metric("columba_memory_evictions_total", |evictions| evictions >= 80);
    // Those that have to go give back what they held as their tasks end.
    server.wait_for_metric("columba_memory_held_bytes{holder=\"websockets\"}", |held| held <= 8_000_000);
    for bystander in &mut bystanders {
        send_text(bystander, r#"{"type":"ping"}"#);
        assert_eq!(receive(bystander)["type"], "pong");
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 30_000_000, "40 MB were sent, and {grown} bytes taken");
    drop(attackers);
    server.wait_for_metric("columba_memory_held_bytes{holder=\"websockets\"}", |held| held < 200_000);
}

#[test]
fn queues_stay_within_half_of_the_memory() {
    let server = generous(&["--memory-limit", "8MB"]);
    for round in 0..4 {
        let join = format!(r#"{{"type":"join","session":"s{round}"}}"#);
        let (_reader, (_, writer)) = (server.join(&join), server.join(&join));
        for seq in 1..=12 {
            let message = json!({"type": "send", "seq": seq, "data": "y".repeat(250_000)}).to_string();
            server.request(&format!("POST /v1/signal/messages\n{writer}"), &message);
        }
        assert!(server.metric("columba_signal_buffered_bytes") <= 4_000_000);
    }
    assert!(server.metric("columba_signal_put_out_slow_total") >= 2);
    let queues = server.metric("columba_memory_held_bytes{holder=\"queues\"}");
    assert_eq!(queues, server.metric("columba_signal_buffered_bytes"));
}

#[test]
fn freed_memory_goes_back_to_the_system() {
    let server = generous(&[]);
    let before = server.resident();
    for _ in 0..2 {
        let sockets: Vec<Socket> = (0..100).map(|_| unfinished(&server, 400_000)).collect();
        server.wait_for_metric("columba_memory_held_bytes{holder=\"websockets\"}", |held| held > 40_000_000);
        drop(sockets);
        server.wait_for_metric("columba_memory_held_bytes{holder=\"websockets\"}", |held| held < 100_000);
    }
    let deadline = Instant::now() + PATIENCE;
    let kept = || server.resident().saturating_sub(before);
    while kept() > 12_000_000 {
        assert!(Instant::now() < deadline, "{} bytes of 40 MB are kept", kept());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{} bytes of 40 MB are kept", kept());
}

/// The kernel keeps what is sent on while a request is answered; who only waits counts for nothing.
#[test]
fn bytes_left_unread_while_a_request_is_answered_count() {
    const SOCKETS: &str = "columba_memory_held_bytes{holder=\"sockets\"}";
    let server = generous(&[]);
    let poll = |_| {
        let (_, bearer) = server.join(r#"{"type":"create"}"#);
        let mut stream = server.connect();
        write!(stream, "GET /v1/signal/events?wait=8 HTTP/1.1\r\nhost: a.test\r\n{bearer}\r\n\r\n")
            .expect("the request is taken");
        stream
    };
    let mut polls: Vec<TcpStream> = (0..20).map(poll).collect();
    server.wait_for_metric("columba_signal_connections", |open| open == 20);
    assert_eq!(server.metric(SOCKETS), 0, "they wait");
    for stream in &mut polls[..5] {
        stream.write_all(&[b'x'; 40_000]).expect("the kernel takes it");
    }
    server.wait_for_metric(SOCKETS, |held| held == 5 * 65_536);
    // The polls have ended.
    server.wait_for_metric(SOCKETS, |held| held == 0);
}

/// Only a connection that is read to its end shows that the server has closed it.
#[test]
fn client_that_reads_nothing_over_http1_is_closed() {
    let server = generous(&["--request-timeout", "1s"]);
    let bearer = backlog(&server, 3);
    let mut stuck: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut stuck {
        rustix::net::sockopt::set_socket_recv_buffer_size(&*stream, 4096).expect("it can be set");
        for _ in 0..8 {
            write!(
                stream,
                "GET /v1/signal/events?after=0&wait=0 HTTP/1.1\r\nhost: a.test\r\nauthorization: {bearer}\r\n\r\n"
            )
            .expect("the request is taken");
        }
    }
    server.wait_for_metric("columba_http_connections", |open| open >= 4);
    server.wait_for_metric("columba_http_connections", |open| open <= 1);
}

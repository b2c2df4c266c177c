//! HTTP/2 with the client of the `h2` crate: streams of one connection do not disturb each other.

mod common;

use std::time::{Duration, Instant};

use axum::http::{Method, Request};
use bytes::Bytes;
use common::{PATIENCE, Server};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The bytes of a stream's answer that the client takes.
const WINDOW: u32 = 1000;

/// The time for which the server lets an answer wait.
const STALL: Duration = Duration::from_secs(2);

async fn connect(server: &Server) -> SendRequest<Bytes> {
    let stream = TcpStream::from_std({
        let stream = server.connect();
        stream.set_nonblocking(true).unwrap();
        stream
    });
    let mut client = h2::client::Builder::new();
    client.initial_window_size(WINDOW).initial_connection_window_size(1 << 20);
    let (requests, connection) = client.handshake(stream.unwrap()).await.unwrap();
    tokio::spawn(connection);
    requests
}

async fn get(requests: &SendRequest<Bytes>, path: &str, bearer: &str) -> (u16, RecvStream) {
    let mut ready = requests.clone().ready().await.unwrap();
    let mut request = Request::builder().method(Method::GET).uri(format!("http://a.test{path}"));
    if !bearer.is_empty() {
        request = request.header("authorization", bearer);
    }
    let (response, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    (response.status().as_u16(), response.into_body())
}

/// Reads an answer to its end, and lets more come.
async fn read(mut body: RecvStream) -> Result<usize, h2::Error> {
    let mut length = 0;
    while let Some(data) = timeout(PATIENCE, body.data()).await.expect("it goes on") {
        let data = data?;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(length)
}

/// A member for whom a hundred kilobytes wait; what it says to prove itself.
fn member_with_backlog(server: &Server) -> String {
    let (_, sender) = server.join(r#"{"type":"join","session":"backlog"}"#);
    let (_, receiver) = server.join(r#"{"type":"join","session":"backlog"}"#);
    let message = json!({"type": "send", "seq": 1, "data": "x".repeat(100_000)}).to_string();
    assert_eq!(server.request(&format!("POST /v1/signal/messages\n{sender}"), &message).status, 200);
    receiver.split_once(": ").expect("it is a header").1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_stream_is_reset_and_the_others_go_on() {
    let server = Server::start(&["--request-timeout", "2s"]);
    let bearer = member_with_backlog(&server);
    let requests = connect(&server).await;
    let path = "/v1/signal/events?after=0&wait=0";
    let began = Instant::now();
    let (status, mut stalled) = get(&requests, path, &bearer).await;
    assert_eq!(status, 200);
    let mut taken = 0;
    let mut ask = tokio::time::interval(Duration::from_millis(50));
    let error = loop {
        assert!(began.elapsed() < PATIENCE, "the stream is not reset");
        // What comes is not given back to the window.
        let data = tokio::select! {
            data = stalled.data() => data.expect("the answer does not end"),
            _ = ask.tick() => {
                let (status, body) = get(&requests, "/healthz", "").await;
                assert_eq!(status, 200);
                assert!(read(body).await.expect("another stream goes on") > 0);
                continue;
            }
        };
        match data {
            Ok(data) => taken += data.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error}");
    assert!(error.is_reset() && error.is_remote(), "the stream, not the connection: {error:?}");
    assert!(taken <= WINDOW as usize && began.elapsed() >= STALL, "{taken} bytes, {:?}", began.elapsed());
    let (status, body) = get(&requests, "/healthz", "").await;
    assert_eq!(status, 200, "the connection goes on");
    assert!(read(body).await.is_ok());
    // What was not taken has not been lost: the event was not acknowledged.
    let (status, body) = get(&requests, path, &bearer).await;
    assert_eq!((status, read(body).await.unwrap() > 100_000), (200, true));
}

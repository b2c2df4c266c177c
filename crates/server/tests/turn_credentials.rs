//! The receivers of TURN credentials, and the use of these.

mod common;

use std::net::{SocketAddr, UdpSocket};

use columba::signaling::{ErrorCode, SignalingChannel, SignalingError, SignalingEvent, SignalingOptions};

use columba_stun::attributes::{ErrorInfo, Lifetime, Nonce, Realm, RequestedTransport, Username};
use columba_stun::{BuildError, Class, IntegrityKey, Message, MessageBuilder, Method, TransactionId};
use common::{PATIENCE, Server, receive, send_text, text};
use serde_json::Value;

/// A TURN client with the credentials that a server gave it.
struct Turn {
    socket: UdpSocket,
    username: String,
    password: String,
    challenge: Option<(Vec<u8>, Vec<u8>)>,
    transactions: u8,
}

impl Turn {
    fn new(server: &Server, joined: &Value) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(SocketAddr::from(([127, 0, 0, 1], server.stun_port("UDP")))).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (username, password) = turn_of(joined).expect("there are TURN credentials");
        Self { socket, username, password, challenge: None, transactions: 0 }
    }

    /// The code of the answer to an authenticated request; 0 for success.
    fn request(
        &mut self,
        method: Method,
        fill: impl Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) -> u16 {
        let mut code = 0;
        for _ in 0..2 {
            self.transactions += 1;
            let id = TransactionId([self.transactions; 12]);
            let mut buffer = [0; 1000];
            let mut builder = MessageBuilder::new(&mut buffer, Class::Request, method, id).unwrap();
            fill(&mut builder).unwrap();
            if let Some((realm, nonce)) = &self.challenge {
                builder.push(&Username(&self.username)).unwrap().push(&Realm(realm)).unwrap();
                builder.push(&Nonce(nonce)).unwrap();
                let key = IntegrityKey::long_term_md5(&self.username, realm, &self.password).unwrap();
                builder.integrity(&key).unwrap();
            }
            self.socket.send(builder.as_bytes()).unwrap();
            let mut answer = [0; 1500];
            let length = self.socket.recv(&mut answer).unwrap();
            let answer = Message::parse(&answer[..length]).unwrap();
            if answer.class() == Class::SuccessResponse {
                return 0;
            }
            code = answer.get::<ErrorInfo<'_>>().unwrap().unwrap().code.number();
            if code != 401 {
                return code;
            }
            let realm = answer.get::<Realm<'_>>().unwrap().unwrap().0.to_owned();
            let nonce = answer.get::<Nonce<'_>>().unwrap().unwrap().0.to_owned();
            self.challenge = Some((realm, nonce));
        }
        code
    }

    fn allocate(&mut self) -> u16 {
        self.request(Method::ALLOCATE, |builder| builder.push(&RequestedTransport::UDP).map(drop))
    }

    fn refresh(&mut self) -> u16 {
        self.request(Method::REFRESH, |builder| builder.push(&Lifetime(600)).map(drop))
    }
}

/// Username and password of the TURN servers in a message.
fn turn_of(message: &Value) -> Option<(String, String)> {
    let servers = message["iceServers"].as_array().unwrap();
    let server = servers.iter().find(|server| server["credential"].is_string())?;
    Some((text(&server["username"]).to_owned(), text(&server["credential"]).to_owned()))
}

#[test]
fn those_who_have_left_make_no_new_allocations_and_keep_the_old() {
    let server = Server::start(&["--turn-credentials", "open"]);
    let (joined, bearer) = server.join(r#"{"type":"create"}"#);
    let mut before = Turn::new(&server, &joined);
    assert_eq!(before.allocate(), 0);
    assert_eq!(server.request(&format!("DELETE /v1/signal\n{bearer}"), "").status, 204);
    let mut after = Turn::new(&server, &joined);
    assert_eq!(after.allocate(), 401);
    assert_eq!(before.refresh(), 0);
}

#[test]
fn one_who_joins_anew_with_the_same_instance_may_allocate() {
    let server = Server::start(&["--turn-credentials", "open"]);
    let message = r#"{"type":"join","session":"room","instance":"instance-0000000000000001"}"#;
    let (first, _) = server.join(message);
    let (second, bearer) = server.join(message);
    assert_eq!(first["peer"], second["peer"]);
    assert_eq!(Turn::new(&server, &second).allocate(), 0);
    server.request(&format!("DELETE /v1/signal\n{bearer}"), "");
    for joined in [&first, &second] {
        assert_eq!(Turn::new(&server, joined).allocate(), 401);
    }
}

#[test]
fn credentials_for_peers_come_with_the_second_member() {
    let server = Server::start(&["--turn-credentials", "peers"]);
    let mut first = server.websocket();
    send_text(&mut first, r#"{"type":"join","session":"room"}"#);
    let alone = receive(&mut first);
    assert_eq!((turn_of(&alone), &alone["iceServersExpire"]), (None, &Value::Null));
    assert!(!alone["iceServers"].as_array().unwrap().is_empty(), "STUN is for everybody");
    let (joined, _) = server.join(r#"{"type":"join","session":"room"}"#);
    assert_eq!(Turn::new(&server, &joined).allocate(), 0);
    let servers = receive(&mut first);
    assert_eq!(servers["type"], "ice-servers");
    assert_eq!(Turn::new(&server, &servers).allocate(), 0);
    assert_eq!(receive(&mut first)["type"], "peer-joined");
}

#[test]
fn with_off_no_member_gets_credentials() {
    let server = Server::start(&["--turn-credentials", "off"]);
    let (joined, _) = server.join(r#"{"type":"create"}"#);
    assert_eq!(turn_of(&joined), None);
}

#[test]
fn join_key_opens_signaling_and_turn() {
    let server = Server::start(&["--join-key", "sesame", "--turn-credentials", "joined"]);
    for (message, code) in [
        (r#"{"type":"create"}"#, "key-required"),
        (r#"{"type":"create","key":"sesam"}"#, "wrong-key"),
        (r#"{"type":"join","session":"room","key":""}"#, "key-required"),
    ] {
        let answer = server.request("POST /v1/signal", message);
        assert_eq!((answer.status, text(&answer.json()["code"])), (403, code), "{message}");
    }
    let (joined, _) = server.join(r#"{"type":"create","key":"sesame"}"#);
    assert_eq!(Turn::new(&server, &joined).allocate(), 0);
}

#[tokio::test]
async fn waiting_client_renews_its_credentials_before_they_end() {
    let server = Server::start(&["--turn-credentials", "open", "--credential-lifetime", "4s"]);
    let options = SignalingOptions::create(format!("http://127.0.0.1:{}", server.port));
    let (channel, mut events) = SignalingChannel::open(options).await.unwrap();
    let mut end = channel.ice_servers().expire.expect("there are credentials").0;
    for _ in 0..2 {
        let next = async { while !matches!(events.recv().await, Some(SignalingEvent::IceServers)) {} };
        tokio::time::timeout(PATIENCE, next).await.expect("fresh credentials come");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(now < end, "they came after the old ones had ended");
        let fresh = channel.ice_servers().expire.expect("there are credentials").0;
        assert!(fresh > end);
        end = fresh;
    }
}

#[tokio::test]
async fn library_gives_the_join_key_and_hears_when_it_is_wrong() {
    let server = Server::start(&["--join-key", "sesame"]);
    let open = async |key: Option<&str>| {
        let mut options = SignalingOptions::create(format!("http://127.0.0.1:{}", server.port));
        options.join_key = key.map(|key| key.parse().unwrap());
        match SignalingChannel::open(options).await {
            Ok(_) => None,
            Err(SignalingError::Refused(refusal)) => Some(refusal.code),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(open(None).await, Some(ErrorCode::KeyRequired));
    assert_eq!(open(Some("sesam")).await, Some(ErrorCode::WrongKey));
    assert_eq!(open(Some("sesame")).await, None);
}

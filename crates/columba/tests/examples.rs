//! The programs in `examples`, as their readers run them.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use columba::DataChannelInit;
use columba::call::{Call, CallEvent, CallOptions};
use columba::signaling::SignalingOptions;
use common::server::Server;
use common::soon;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The folder of the programs, which are built first.
fn folder() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let cargo = std::process::Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--examples"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(cargo.expect("cargo runs").success(), "the examples are built");
        // The tests are in `deps`, beside it.
        let test = std::env::current_exe().expect("the test has a path");
        test.parent().and_then(|deps| deps.parent()).expect("a folder").join("examples")
    });
    built.clone()
}

/// A program that runs.
struct Program {
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Program {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(folder().join(name));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { input, lines, child }
    }

    async fn line(&mut self) -> String {
        soon("a line", self.lines.next_line()).await.expect("it can be read").expect("the program goes on")
    }

    /// The next line with this text.
    async fn shows(&mut self, words: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(words) {
                return line;
            }
        }
    }

    async fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("the program reads");
    }

    /// Ends the input; the program ends by itself, and well.
    async fn ends(self) {
        let Self { input, mut child, .. } = self;
        drop(input);
        assert!(soon("the end", child.wait()).await.expect("it has a status").success());
    }
}

#[tokio::test]
async fn two_peers_in_one_process() {
    let mut program = Program::start("two_peers", &[]);
    assert_eq!(program.line().await, r#"the callee answers Some(Text("hello"))"#);
    program.ends().await;
}

#[tokio::test]
async fn many_connections_on_one_port() {
    let mut program = Program::start("one_port", &["12"]);
    assert!(program.line().await.starts_with("12 connections on port "));
    program.ends().await;
}

#[tokio::test]
async fn signaling_by_copy_and_paste() {
    let mut offering = Program::start("copy_and_paste", &["offer"]);
    let mut answering = Program::start("copy_and_paste", &["answer"]);
    let offer = offering.line().await;
    answering.say(&offer).await;
    let answer = answering.line().await;
    offering.say(&answer).await;
    assert_eq!(offering.line().await, "hello from the side of the answer");
    assert_eq!(answering.line().await, "hello from the side of the offer");
    offering.ends().await;
    answering.ends().await;
}

#[tokio::test]
async fn chat_between_two_terminals() {
    let server = Server::start().await;
    let url = server.url();
    let mut ann = Program::start("chat", &[&url, "a-session"]);
    ann.shows("joined").await;
    let mut bob = Program::start("chat", &[&url, "a-session"]);
    ann.shows("is here").await;
    bob.shows("is here").await;
    ann.say("are you there?").await;
    bob.shows("are you there?").await;
    bob.say("yes").await;
    ann.shows("yes").await;
    bob.ends().await;
    ann.shows("has left").await;
    ann.ends().await;
}

#[tokio::test]
async fn echo_server_answers_everybody_on_one_port() {
    let server = Server::start().await;
    let url = server.url();
    let mut echo = Program::start("echo_server", &[&url, "a-session"]);
    let port = echo.line().await;
    assert!(port.starts_with("one UDP port"), "{port}");
    echo.shows("joined").await;
    for number in 0..3 {
        let options = SignalingOptions::join(url.clone(), "a-session".parse().unwrap());
        let (call, mut events) = Call::join(options, CallOptions::default()).await.unwrap();
        let peer = loop {
            match soon("connected", events.recv()).await {
                Some(CallEvent::PeerConnected { peer, .. }) => break peer,
                Some(_) => {}
                None => panic!("the call is over"),
            }
        };
        let channel = call.open_channel(peer, "echo", DataChannelInit::default()).unwrap();
        let text = format!("number {number}");
        soon("sent", channel.send(text.clone())).await.unwrap();
        assert_eq!(soon("it comes back", channel.recv()).await, Some(columba::Message::Text(text)));
        soon("leaving", call.leave(std::time::Duration::ZERO)).await;
        echo.shows("has left").await;
    }
}

#[tokio::test]
async fn relay_only_waits_for_others() {
    let server = Server::start().await;
    let mut program = Program::start("relay_only", &[&server.url(), "a-session"]);
    assert_eq!(program.line().await, "joined a-session");
}

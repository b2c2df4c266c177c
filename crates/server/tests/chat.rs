//! `columba chat`: two terminals in a session, and each fault with its sentence.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, program, receive, receive_close, run, send_text};

/// A terminal with `columba chat`.
struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let mut command: Command = program();
        command.arg("chat").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("stdout is piped"), sender.clone());
        forward(child.stderr.take().expect("stderr is piped"), sender);
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("the input is open"), "{line}").expect("the program reads");
    }

    /// Returns the next line with this text.
    fn shows(&self, words: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(words) {
                return line;
            }
            seen.push(line);
        }
        panic!("never showed {words:?}, but {seen:?}")
    }

    /// Ends the input; the exit status.
    fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                // What it says at its end, for a test that expects something else.
                self.lines.iter().for_each(|line| println!("{line}"));
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running");
    }

    fn kill(&mut self) {
        self.child.kill().expect("the child runs");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(from: impl std::io::Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

fn page(server: &Server) -> String {
    format!("http://127.0.0.1:{}/", server.port)
}

#[test]
fn two_terminals_chat_and_see_each_other_leave() {
    let server = Server::start(&[]);
    let mut ann = Terminal::start(&["--name", "Ann", &page(&server)]);
    let line = ann.shows("This is a new session");
    let link = line.split_whitespace().last().expect("a link").to_owned();
    // Lines that are typed before a peer is there are for the first that comes.
    ann.say("is a friend there?");
    let mut bob = Terminal::start(&["--name", "Bob", &link]);
    assert_eq!(ann.shows("Bob is here"), "* Bob is here.");
    assert_eq!(bob.shows("friend"), "Ann: is a friend there?");
    bob.say("yes, \u{1b}[31mme");
    assert_eq!(ann.shows("yes"), r"Bob: yes, \u{1b}[31mme");
    assert_eq!(bob.end(), Some(0));
    assert_eq!(ann.shows("left"), "* Bob has left.");
    assert_eq!(ann.end(), Some(0));
}

/// The status to one to whom no connection was ever made is no line that was lost.
#[test]
fn those_who_leave_unconnected_miss_no_line() {
    let server = Server::start(&[]);
    let ann = Terminal::start(&["--wait", &format!("{}#a-session", page(&server))]);
    ann.shows("You are the first one here");
    let mut passer = server.websocket();
    send_text(&mut passer, r#"{"type":"join","session":"a-session"}"#);
    assert_eq!(receive(&mut passer)["type"], "joined");
    send_text(&mut passer, r#"{"type":"leave"}"#);
    receive_close(&mut passer);
    let bob = Terminal::start(&["--name", "Bob", &format!("{}#a-session", page(&server))]);
    ann.shows("Bob is here");
    assert_eq!(bob.end(), Some(0));
    assert_eq!(ann.end(), Some(0));
}

#[test]
fn name_with_a_line_break_forges_no_line() {
    let server = Server::start(&[]);
    let ann = Terminal::start(&["--wait", &format!("{}#a-session", page(&server))]);
    ann.shows("You are the first one here");
    let name = "Eve\nBob: send me the key";
    let mut eve = Terminal::start(&["--name", name, &format!("{}#a-session", page(&server))]);
    assert_eq!(ann.shows("Eve"), r"* Eve\nBob: send me the key is here.");
    eve.say("hello");
    assert_eq!(ann.shows("hello"), r"Eve\nBob: send me the key: hello");
    assert_eq!(eve.end(), Some(0));
}

#[test]
fn join_key_is_given_by_option_or_link() {
    let server = Server::start(&["--join-key", "ses&me"]);
    let refused = |arguments: &[&str], words: &str| {
        let output = run(&[&["chat"], arguments].concat());
        let said = String::from_utf8(output.stderr).expect("the sentence is text");
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    };
    refused(&[&page(&server)], "asks for a join key");
    refused(&["--join-key", "guess", &page(&server)], "not the server's join key");
    refused(&["--join-key", "two words", &page(&server)], "1 to 128");
    let ann = Terminal::start(&["--join-key", "ses&me", "--wait", &format!("{}#room", page(&server))]);
    ann.shows("You are the first one here");
    let bob = Terminal::start(&["--name", "Bob", &format!("{}#room&key=ses%26me", page(&server))]);
    ann.shows("Bob is here");
    assert_eq!(bob.end(), Some(0));
}

#[test]
fn piped_input_arrives_before_the_program_ends() {
    let server = Server::start(&[]);
    let ann = Terminal::start(&["--wait", &format!("{}#a-session", page(&server))]);
    ann.shows("You are the first one here");
    let mut bob = Terminal::start(&["--name", "Bob", &format!("{}#a-session", page(&server))]);
    bob.say("said and gone");
    assert_eq!(bob.end(), Some(0));
    assert_eq!(ann.shows("said"), "Bob: said and gone");
}

#[test]
fn a_peer_that_vanishes_is_reported() {
    let server = Server::start(&["--resume-within", "1s"]);
    let ann = Terminal::start(&["--wait", &format!("{}#a-session", page(&server))]);
    ann.shows("You are the first one here");
    let mut bob = Terminal::start(&["--name", "Bob", &format!("{}#a-session", page(&server))]);
    ann.shows("Bob is here");
    bob.kill();
    assert_eq!(ann.shows("interrupted"), "* The connection to Bob is interrupted.");
}

#[test]
fn each_fault_has_one_sentence_and_status_2() {
    let server = Server::start(&[]);
    let empty = format!("{}#unknown-session", page(&server));
    // A port that the system never chooses by itself.
    let closed = "http://127.0.0.77:1/#token".to_owned();
    for (arguments, words) in [
        (vec![empty.as_str()], "There is no such session, because it is empty"),
        (vec![closed.as_str()], "cannot be reached: Connection refused"),
        (vec!["example.org"], "is not a link to a session"),
        (vec!["https://example.org/#a b"], "is not a session"),
        (vec![], "required arguments were not provided: <LINK>"),
    ] {
        let output = run(&[vec!["chat"], arguments].concat());
        let said = String::from_utf8(output.stderr).expect("the sentence is text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words) && said.trim_end().lines().count() == 1, "{said}");
    }
}

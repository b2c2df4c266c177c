//! `columba pipe`: bytes between two processes, a port, a program.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, program};

/// A process that ends with the test.
struct Side(Child);

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pipe(server: &Server, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("pipe").args(["--server", &format!("http://127.0.0.1:{}/", server.port)]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the side that makes the link; the link comes with it.
fn host(server: &Server, arguments: &[&str]) -> (Side, String) {
    let mut child = pipe(server, arguments).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("columba pipe '"));
    let line = line.expect("a link is shown");
    let link = line.split('\'').nth(1).expect("it is quoted").to_owned();
    // It must not be stopped by a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (Side(child), link)
}

/// Reads a side's output until it ends, on a thread.
fn reading(side: &mut Side) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let mut output = side.0.stdout.take().unwrap();
    let (done, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut got = Vec::new();
        let _ = done.send(output.read_to_end(&mut got).map(|_| got));
    });
    read
}

/// Reads a side's output until it ends.
fn output_of(side: &mut Side) -> Vec<u8> {
    reading(side).recv_timeout(PATIENCE).expect("the output ends").unwrap()
}

fn content() -> Vec<u8> {
    (0..500_000).map(|at| (at * 7 % 251) as u8).collect()
}

#[test]
fn standard_input_comes_out_at_the_other_side_both_ways() {
    let server = Server::start(&[]);
    let (mut one, link) = host(&server, &[]);
    let mut other = Side(pipe(&server, &[&link]).spawn().expect("the program starts"));
    for side in [&mut one, &mut other] {
        let mut input = side.0.stdin.take().unwrap();
        std::thread::spawn(move || input.write_all(&content()));
    }
    // A side ends when the other has taken everything, so both are read at the same time.
    let outputs = [&mut one, &mut other].map(reading);
    for (output, side) in outputs.into_iter().zip([&mut one, &mut other]) {
        let got = output.recv_timeout(PATIENCE).expect("the output ends").unwrap();
        assert!(got == content(), "{} bytes", got.len());
        assert_eq!(side.0.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_port_is_forwarded() {
    let server = Server::start(&[]);
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = service.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in service.incoming().flatten() {
            let mut asked = Vec::new();
            let _ = stream.read_to_end(&mut asked);
            asked.reverse();
            let _ = stream.write_all(&asked);
        }
    });
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_one, link) = host(&server, &["--connect", &address]);
    let _other =
        Side(pipe(&server, &["--listen", &free.to_string(), &link]).spawn().expect("the program starts"));
    let deadline = Instant::now() + PATIENCE;
    for word in ["columba", "dove"] {
        let answer = loop {
            let mut answer = Vec::new();
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", free)) {
                let _ = stream.write_all(word.as_bytes()).and_then(|()| stream.shutdown(Shutdown::Write));
                let _ = stream.read_to_end(&mut answer);
            }
            // Before the sides have met, connections are closed at once.
            if !answer.is_empty() {
                break answer;
            }
            assert!(Instant::now() < deadline, "nothing is forwarded");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(answer, word.bytes().rev().collect::<Vec<u8>>());
    }
}

#[test]
fn a_program_is_served_and_only_by_the_side_that_makes_the_link() {
    let server = Server::start(&[]);
    let (_one, link) = host(&server, &["--exec", "tr a-z A-Z"]);
    let mut other = Side(pipe(&server, &[&link]).spawn().expect("the program starts"));
    other.0.stdin.take().unwrap().write_all(b"quiet words").unwrap();
    let got = output_of(&mut other);
    assert_eq!((got.as_slice(), other.0.wait().unwrap().code()), (b"QUIET WORDS".as_slice(), Some(0)));
    let refused = pipe(&server, &["--exec", "true", &link]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

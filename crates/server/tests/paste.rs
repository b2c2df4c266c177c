//! `columba offer` and `columba answer`: a chat, files and a pipe without any server.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use common::{PATIENCE, program};

/// A process that ends with the test.
struct Side {
    child: Child,
    errors: mpsc::Receiver<String>,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Side {
    fn start(arguments: &[&str]) -> Self {
        let mut command: Command = program();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let (sender, errors) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, errors }
    }

    /// Waits for a line on standard error.
    fn line(&self, fits: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        loop {
            let line = self.errors.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not in {seen:?}"));
            if fits(&line) {
                return line;
            }
            seen.push(line);
        }
    }

    /// The text that the other side is to be given.
    fn text(&self) -> String {
        self.line(|line| line.starts_with("columba-"))
    }

    fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("the input is piped")
    }

    /// The next line of the output.
    fn said(&mut self) -> String {
        let mut output = self.child.stdout.take().expect("stdout is piped");
        let (done, read) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut line, mut byte) = (Vec::new(), [0]);
            while !line.ends_with(b"\n") && output.read(&mut byte).is_ok_and(|read| read == 1) {
                line.push(byte[0]);
            }
            let _ = done.send((output, line));
        });
        let (output, line) = read.recv_timeout(PATIENCE).expect("a line comes");
        self.child.stdout = Some(output);
        String::from_utf8(line).unwrap()
    }

    /// The rest of the output, and the status.
    fn end(mut self) -> (Vec<u8>, Option<i32>) {
        let mut output = self.child.stdout.take().expect("stdout is piped");
        let (done, read) = mpsc::channel();
        std::thread::spawn(move || {
            let mut got = Vec::new();
            let _ = done.send(output.read_to_end(&mut got).map(|_| got));
        });
        let got = read.recv_timeout(PATIENCE).expect("the output ends").unwrap();
        (got, self.child.wait().unwrap().code())
    }
}

/// A folder that is removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("columba-paste-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn two_sides_chat_by_copy_and_paste() {
    let mut offerer = Side::start(&["offer"]);
    let offer = offerer.text();
    assert!(offer.starts_with("columba-offer-1:") && offer.len() < 3000, "{} characters", offer.len());
    let mut answerer = Side::start(&["answer", &offer]);
    let answer = answerer.text();
    let (mut one, mut other) = (offerer.input(), answerer.input());
    writeln!(one, "{answer}").unwrap();
    offerer.line(|line| line.starts_with("* Connected, directly"));
    writeln!(one, "hello from here").unwrap();
    writeln!(other, "and from there").unwrap();
    assert_eq!(offerer.said(), "peer: and from there\n");
    // The input of one side ends, and both end.
    drop(one);
    answerer.line(|line| line == "* The other side has left.");
    let (said, status) = answerer.end();
    assert_eq!((String::from_utf8(said).unwrap().as_str(), status), ("peer: hello from here\n", Some(0)));
    assert_eq!(offerer.end(), (Vec::new(), Some(0)));
}

#[test]
fn files_go_by_copy_and_paste_in_either_direction() {
    let folder = Folder::new("files");
    fs::write(folder.join("a"), vec![7; 300_000]).unwrap();
    fs::write(folder.join("b"), "the other").unwrap();
    let (here, there) = (folder.join("here"), folder.join("there"));
    let mut offerer = Side::start(&["offer", "--yes", "--send", &folder.join("a"), "--out", &here]);
    let offer = offerer.text();
    let answerer = Side::start(&["answer", "--yes", "--send", &folder.join("b"), "--out", &there, &offer]);
    writeln!(offerer.input(), "{}", answerer.text()).unwrap();
    assert_eq!((offerer.end().1, answerer.end().1), (Some(0), Some(0)));
    assert_eq!(fs::read(folder.0.join("there/a")).unwrap(), vec![7; 300_000]);
    assert_eq!(fs::read(folder.0.join("here/b")).unwrap(), b"the other");
}

#[test]
fn a_pipe_is_made_by_copy_and_paste() {
    let folder = Folder::new("pipe");
    let text = folder.join("text");
    assert!(Command::new("mkfifo").arg(&text).status().unwrap().success());
    let mut offerer = Side::start(&["offer", "--pipe", "--text", &text]);
    let offer = offerer.text();
    let mut answerer = Side::start(&["answer", &offer]);
    fs::write(&text, answerer.text()).unwrap();
    offerer.input().write_all(b"one way").unwrap();
    answerer.input().write_all(b"the other way").unwrap();
    assert_eq!(answerer.end(), (b"one way".to_vec(), Some(0)));
    assert_eq!(offerer.end(), (b"the other way".to_vec(), Some(0)));
}

#[test]
fn each_fault_has_one_sentence_and_status_2() {
    let folder = Folder::new("faults");
    let refused = |arguments: &[&str], words: &str| {
        let side = Side::start(arguments);
        let line = side.line(|line| line.starts_with("columba: "));
        assert!(line.contains(words), "{line}");
        assert_eq!(side.end().1, Some(2));
    };
    refused(&["answer", "hello"], "it does not begin with columba-offer-");
    refused(&["answer", "columba-offer-1:abc"], "it is not complete, or was changed on its way");
    refused(&["answer", "columba-offer-9:abc"], "another version of the program");
    refused(&["answer", "--pipe", "x"], "--pipe is said by the side that offers");
    refused(&["offer", "--send", "/does/not/exist"], "/does/not/exist cannot be read: No such file");
    refused(&["offer", "--send", "/etc/hosts", "--pipe"], "cannot be used with");
    refused(&["offer", "--stun", "a b"], "No connection can be made");
    // The own offer, pasted where the answer belongs.
    let mut offerer = Side::start(&["offer"]);
    let offer = offerer.text();
    writeln!(offerer.input(), "{offer}").unwrap();
    let line = offerer.line(|line| line.starts_with("columba: "));
    assert!(line.contains("This is an offer, perhaps the own one"), "{line}");
    assert_eq!(offerer.end().1, Some(2));
    // The answer to another offer.
    let (other, mut offerer) = (Side::start(&["offer"]), Side::start(&["offer"]));
    let answerer = Side::start(&["answer", &other.text()]);
    offerer.text();
    writeln!(offerer.input(), "{}", answerer.text()).unwrap();
    let line = offerer.line(|line| line.starts_with("columba: "));
    assert!(line.contains("the answer to another offer"), "{line}");
    // Files are not taken without a word.
    fs::write(folder.join("a"), "a").unwrap();
    let offerer = Side::start(&["offer", "--send", &folder.join("a")]);
    refused(&["answer", &offerer.text()], "say --yes to take them");
}

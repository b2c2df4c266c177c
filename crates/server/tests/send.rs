//! `columba send` and `columba receive`: two processes and a server.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use common::{Folder, PATIENCE, Server, program};
use serde_json::Value;

/// A `columba send --json` that waits.
struct Sender {
    child: Child,
    lines: Receiver<String>,
    code: String,
    link: String,
}

fn page(server: &Server) -> String {
    format!("http://127.0.0.1:{}/", server.port)
}

fn command(server: &Server, home: &Folder, name: &str) -> Command {
    let mut command = program();
    command.env("HOME", home.path()).arg(name).args(["--server", &page(server)]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Sender {
    fn start(server: &Server, home: &Folder, arguments: &[&str]) -> Self {
        Self::spawn(command(server, home, "send").arg("--json").args(arguments))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        let output = child.stdout.take().expect("stdout is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut sender = Self { child, lines, code: String::new(), link: String::new() };
        let waiting = sender.event("waiting");
        sender.code = waiting["code"].as_str().expect("a code").to_owned();
        sender.link = waiting["link"].as_str().expect("a link").to_owned();
        sender
    }

    /// The next event of this name.
    fn event(&self, name: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no event {name:?}"));
            let event: Value = serde_json::from_str(&line).expect("events are JSON");
            if event["event"] == name {
                return event;
            }
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("the child can be asked").is_none() {
            assert!(Instant::now() < deadline, "still running");
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = self.child.wait().expect("it has ended");
        let mut said = String::new();
        self.child.stderr.take().expect("stderr is piped").read_to_string(&mut said).expect("it is text");
        (status.code(), said)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn receive(server: &Server, home: &Folder, out: &Path, arguments: &[&str]) -> (Option<i32>, String, Vec<u8>) {
    let mut command = command(server, home, "receive");
    command.arg("--yes").arg("--out").arg(out).args(arguments);
    let output = command.output().expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

#[test]
fn folder_arrives_as_it_was() {
    let (server, home, here, there) = (Server::start(&[]), Folder::new(), Folder::new(), Folder::new());
    let top = here.path().join("tree");
    for folder in ["tree/empty", "tree/日本", "tree/closed"] {
        fs::create_dir_all(here.path().join(folder)).unwrap();
    }
    fs::write(top.join("日本/файл 🙂"), content(200_000)).unwrap();
    fs::write(top.join("empty file"), []).unwrap();
    fs::write(top.join("one"), [1]).unwrap();
    fs::write(top.join("left out.tmp"), [1]).unwrap();
    // Not UTF-8: a folder in Latin-1, with a file in it and a link to that.
    let latin = top.join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&latin).unwrap();
    fs::write(latin.join(OsStr::from_bytes(b"\xff\xfe")), "in it").unwrap();
    std::os::unix::fs::symlink(OsStr::from_bytes(b"\xff\xfe"), latin.join("to it")).unwrap();
    std::os::unix::fs::symlink("one", top.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", top.join("leads out")).unwrap();
    let sparse = fs::File::create(top.join("sparse")).unwrap();
    sparse.set_len(100 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 50 << 30).unwrap();
    fs::set_permissions(top.join("one"), fs::Permissions::from_mode(0o640)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 789_000_000);
    fs::File::open(top.join("one")).unwrap().set_modified(time).unwrap();
    fs::File::open(top.join("empty")).unwrap().set_modified(time).unwrap();
    fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();

    let sender = Sender::start(&server, &home, &["--exclude", "*.tmp", top.to_str().unwrap()]);
    let (code, said, _) = receive(&server, &home, there.path(), &[&sender.code]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(sender.end().0, Some(0));
    let got = there.path().join("tree");
    assert_eq!(fs::read(got.join("日本/файл 🙂")).unwrap(), content(200_000));
    assert_eq!(fs::read(got.join(OsStr::from_bytes(b"caf\xe9")).join("to it")).unwrap(), b"in it");
    assert!(fs::read(got.join("empty file")).unwrap().is_empty());
    assert_eq!(fs::read_link(got.join("link")).unwrap(), Path::new("one"));
    assert!(fs::symlink_metadata(got.join("leads out")).is_err() && said.contains("leads out of its folder"));
    assert!(!got.join("left out.tmp").exists());
    let one = fs::metadata(got.join("one")).unwrap();
    assert_eq!((one.mode() & 0o777, one.modified().unwrap()), (0o640, time));
    assert_eq!(fs::metadata(got.join("empty")).unwrap().modified().unwrap(), time);
    assert_eq!(fs::metadata(got.join("closed")).unwrap().mode() & 0o777, 0o700);
    let sparse = fs::metadata(got.join("sparse")).unwrap();
    assert!(sparse.len() == 100 << 30 && sparse.blocks() < 1000, "{} blocks", sparse.blocks());
    let file = fs::File::open(got.join("sparse")).unwrap();
    let mut middle = [0; 13];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut middle, 50 << 30).unwrap();
    assert_eq!(&middle, b"in the middle");
    // Nothing of the transfer is left on either side.
    assert_eq!(fs::read_dir(there.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(home.path().join(".local/state/columba/send")).unwrap().count(), 0);
}

#[test]
fn many_small_files_arrive_by_the_link() {
    let (server, home, here, there) = (Server::start(&[]), Folder::new(), Folder::new(), Folder::new());
    let top = here.path().join("many");
    fs::create_dir_all(&top).unwrap();
    for n in 0..1000_usize {
        fs::write(top.join(n.to_string()), content(n)).unwrap();
    }
    let sender = Sender::start(&server, &home, &[top.to_str().unwrap()]);
    let (code, said, _) = receive(&server, &home, there.path(), &[&sender.link]);
    assert_eq!((code, sender.end().0), (Some(0), Some(0)), "{said}");
    for n in 0..1000_usize {
        assert_eq!(fs::read(there.path().join("many").join(n.to_string())).unwrap(), content(n));
    }
}

#[test]
fn standard_input_comes_out_of_standard_output() {
    let (server, home) = (Server::start(&[]), Folder::new());
    let mut sending = command(&server, &home, "send");
    let mut sender = Sender::spawn(sending.args(["--json", "-"]).stdin(Stdio::piped()));
    let mut input = sender.child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(&content(3_000_000)));
    let (code, said, output) = receive(&server, &home, Path::new("-"), &[&sender.code]);
    assert_eq!(code, Some(0), "{said}");
    assert!(output == content(3_000_000), "{} bytes", output.len());
    writing.join().unwrap().unwrap();
    assert_eq!(sender.end().0, Some(0));
}

#[test]
fn a_killed_receiver_goes_on_where_it_was() {
    let (server, home, here, there) = (Server::start(&[]), Folder::new(), Folder::new(), Folder::new());
    let path = here.path().join("large");
    fs::write(&path, content(40_000_000)).unwrap();
    let sender = Sender::start(&server, &home, &["--limit", "12M", path.to_str().unwrap()]);
    let mut first = command(&server, &home, "receive");
    let mut first = first.arg("--yes").arg("--out").arg(there.path()).arg(&sender.code).spawn().unwrap();
    wait_for_state(there.path(), 12_000_000);
    first.kill().unwrap();
    first.wait().unwrap();
    let (code, said, _) = receive(&server, &home, there.path(), &["--json", &sender.code]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(sender.end().0, Some(0));
    assert!(fs::read(there.path().join("large")).unwrap() == content(40_000_000));
}

#[test]
fn a_killed_sender_goes_on_where_it_was() {
    let (server, home, here, there) = (Server::start(&[]), Folder::new(), Folder::new(), Folder::new());
    let path = here.path().join("large");
    fs::write(&path, content(40_000_000)).unwrap();
    let arguments = ["--limit", "12M", path.to_str().unwrap()];
    let mut sender = Sender::start(&server, &home, &arguments);
    let mut receiver = command(&server, &home, "receive");
    let mut receiver = receiver.args(["--yes", "--out"]).arg(there.path()).arg(&sender.code).spawn().unwrap();
    wait_for_state(there.path(), 12_000_000);
    sender.child.kill().unwrap();
    drop(sender);
    let sender = Sender::start(&server, &home, &arguments);
    // What is there does not come again.
    let done = sender.event("done");
    assert_eq!(done["bytes"], 40_000_000);
    assert!(done["sent"].as_u64().unwrap() < 28_000_000, "{done}");
    assert_eq!(sender.end().0, Some(0));
    assert_eq!(receiver.wait().unwrap().code(), Some(0));
    assert!(fs::read(there.path().join("large")).unwrap() == content(40_000_000));
}

/// Waits until the receiver has kept a position behind this offset.
fn wait_for_state(out: &Path, offset: u64) {
    let deadline = Instant::now() + 3 * PATIENCE;
    loop {
        for folder in fs::read_dir(out).unwrap().flatten() {
            let Ok(state) = fs::read(folder.path().join("state.json")) else { continue };
            let state: Value = serde_json::from_slice(&state).unwrap_or_default();
            if state["position"]["offset"].as_u64().is_some_and(|at| at > offset) {
                return;
            }
        }
        assert!(Instant::now() < deadline, "nothing is kept");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn three_wrong_codes_end_the_code_but_not_the_link() {
    let (server, home, here, there) = (Server::start(&[]), Folder::new(), Folder::new(), Folder::new());
    let path = here.file("a", "secret");
    let sender = Sender::start(&server, &home, &[&path]);
    let number = sender.code.split('-').next().unwrap();
    let wrong = ["acorn-acorn", "acorn-actor", "acorn-album", "acorn-amber"]
        .into_iter()
        .map(|words| format!("{number}-{words}"))
        .filter(|code| *code != sender.code);
    for code in wrong.take(3) {
        let (status, said, _) = receive(&server, &home, there.path(), &[&code]);
        assert_eq!(status, Some(6), "{said}");
        assert!(said.contains("The words of the code are wrong"), "{said}");
    }
    sender.event("code-void");
    let (code, said, _) = receive(&server, &home, there.path(), &[&sender.link]);
    assert_eq!((code, sender.end().0), (Some(0), Some(0)), "{said}");
}

#[test]
fn nothing_is_replaced_unless_it_is_wanted() {
    let (server, home, here, there) = (Server::start(&[]), Folder::new(), Folder::new(), Folder::new());
    let path = here.file("a", "new");
    there.file("a", "old");
    let sender = Sender::start(&server, &home, &[&path]);
    let (code, said, _) = receive(&server, &home, there.path(), &[&sender.code]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("is there already; choose another folder with --out"), "{said}");
    assert_eq!(fs::read(there.path().join("a")).unwrap(), b"old");
    assert_eq!(sender.end().0, Some(3));
    let sender = Sender::start(&server, &home, &[&path]);
    let (code, said, _) = receive(&server, &home, there.path(), &["--overwrite", &sender.code]);
    assert_eq!((code, sender.end().0), (Some(0), Some(0)), "{said}");
    assert_eq!(fs::read(there.path().join("a")).unwrap(), b"new");
}

#[test]
fn each_fault_has_one_sentence_and_its_status() {
    let (server, home, here) = (Server::start(&[]), Folder::new(), Folder::new());
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.env("HOME", home.path()).args(arguments).stdin(Stdio::null());
        let output = command.output().expect("the program starts");
        let said = String::from_utf8(output.stderr).expect("the sentence is text");
        let sentence = said.lines().last().unwrap_or_default().to_owned();
        (output.status.code(), sentence)
    };
    let page = page(&server);
    for (arguments, status, words) in [
        (
            &["send", "--server", &page, "/does/not/exist"][..],
            2,
            "/does/not/exist cannot be read: No such file",
        ),
        (&["send", "--server", "a b", "/etc/hosts"], 2, "is not the address of a server"),
        (
            &["send", "--server", "http://127.0.0.77:1", "/etc/hosts"],
            2,
            "cannot be reached: Connection refused",
        ),
        (&["send", "--server", &page, "-", "/etc/hosts"], 2, "Standard input is sent alone"),
        (&["send", "--server", &page, "--limit", "fast", "/etc/hosts"], 2, "such as 500k or 2M"),
        (&["send", "--server", &page, "--exclude", "*", "/etc/hosts"], 2, "--exclude leaves out everything"),
        (&["send"], 2, "required arguments were not provided: <PATH>"),
        (&["receive", "--yes", "7-copper"], 2, "This is no code: a code is a number and two words"),
        (&["receive", "--yes", "7-coper-violin"], 2, "is \"copper\" meant?"),
        (&["receive", "--yes", "https://a.test/#x"], 2, "not a link to files"),
        (&["receive", "7-copper-violin"], 2, "say --yes"),
        // What is wrong with the words comes before anything else.
        (&["receive", "7-copper"], 2, "This is no code"),
        (
            &["receive", "--yes", "--out", "/etc/hosts", "7-copper-violin"],
            2,
            "/etc/hosts is a file; name the",
        ),
        (
            &["send", "--server", "http://127.0.0.77:1", "/does/not/exist"],
            2,
            "/does/not/exist cannot be read",
        ),
    ] {
        let (code, sentence) = run(arguments);
        assert_eq!(code, Some(status), "{sentence}");
        assert!(sentence.contains(words) && sentence.starts_with("columba: "), "{sentence}");
    }
    drop(here);
}

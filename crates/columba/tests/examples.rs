//! The programs in `examples`, as their readers run them.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use columba::call::{Call, CallEvent, CallEvents, CallMedia, CallOptions};
use columba::signaling::SignalingOptions;
use columba::{DataChannelInit, EncodedFrame, OutgoingFrame, PeerConnection, RtpReceiver, Track, TrackKind};
use columba_containers::{Codec, Frame, Reader, Writer};
use common::server::Server;
use common::soon;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The folder of the programs, which are built first.
fn folder() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        // Of the whole workspace, with whose features the dependencies have been built for its
        // tests.
        let cargo = std::process::Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--examples"])
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
        soon("leaving", call.leave(Duration::ZERO)).await;
        echo.shows("has left").await;
    }
}

#[tokio::test]
async fn relay_only_waits_for_others() {
    let server = Server::start().await;
    let mut program = Program::start("relay_only", &[&server.url(), "a-session"]);
    assert_eq!(program.line().await, "joined a-session");
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("columba-examples-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder can be made");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A frame of VP8 as far as packets look at it, with its number in it.
fn picture(number: u8) -> Vec<u8> {
    let mut data = vec![number; 1000 + 100 * usize::from(number)];
    if number.is_multiple_of(10) {
        data[..10].copy_from_slice(&[0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x40, 0x01, 0xF0, 0x00]);
    } else {
        data[0] = 0x11;
    }
    data
}

/// Writes a film of 30 pictures in a second and a half, with sound.
fn write_film(path: &Path) {
    let video =
        columba_containers::Track { width: 320, height: 240, ..columba_containers::Track::new(Codec::Vp8) };
    let tracks = [video, columba_containers::Track::new(Codec::Opus)];
    let mut writer = Writer::webm(File::create(path).unwrap(), &tracks).unwrap();
    for number in 0..75_u8 {
        let at = Duration::from_millis(20) * u32::from(number);
        writer.write(&Frame::new(1, at, true, vec![0xFC, number, 0xFE])).unwrap();
        if number % 5 == 0 || number % 5 == 2 {
            let index = number / 5 * 2 + number % 5 / 2;
            writer.write(&Frame::new(0, at, index.is_multiple_of(10), picture(index))).unwrap();
        }
    }
    writer.finish().unwrap();
}

/// Joins a session with a track that is sent.
async fn join(server: &Server, sends: Vec<Track>) -> (Call, CallEvents) {
    let options = SignalingOptions::join(server.url(), "a-session".parse().unwrap());
    let media = CallMedia { tracks: sends, receives: true };
    Call::join(options, CallOptions { media, ..CallOptions::default() }).await.unwrap()
}

/// The receiver of a kind that a peer's track comes to.
async fn receiver(events: &mut CallEvents, kind: TrackKind) -> RtpReceiver {
    loop {
        match soon("a track", events.recv()).await.expect("the call goes on") {
            CallEvent::TrackAdded { track, .. } if track.transceiver.kind() == kind => {
                return track.transceiver.receiver();
            }
            _ => {}
        }
    }
}

async fn connected(events: &mut CallEvents) -> PeerConnection {
    loop {
        let event = soon("connected", events.recv()).await.expect("the call goes on");
        if let CallEvent::PeerConnected { connection, .. } = event {
            return connection;
        }
    }
}

async fn next_frame(receiver: &RtpReceiver) -> EncodedFrame {
    soon("a frame", receiver.recv_frame()).await.expect("the connection is up")
}

#[tokio::test]
async fn a_file_is_played() {
    let (server, folder) = (Server::start().await, Folder::new("play"));
    let film = folder.0.join("film.webm");
    write_film(&film);
    let mut player = Program::start("play_file", &[film.to_str().unwrap(), &server.url(), "a-session"]);
    player.shows("joined").await;
    let (_call, mut events) = join(&server, Vec::new()).await;
    let receiver = receiver(&mut events, TrackKind::Video).await;
    for number in 0..30 {
        let frame = next_frame(&receiver).await;
        assert!(frame.data == picture(number), "picture {number}");
        assert_eq!(frame.info.key, number.is_multiple_of(10));
    }
    player.shows("has got the film").await;
}

#[tokio::test]
async fn what_peers_send_is_recorded() {
    let (server, folder) = (Server::start().await, Folder::new("record"));
    let film = folder.0.join("film.webm");
    write_film(&film);
    let directory = folder.0.to_str().unwrap();
    let mut recorder = Program::start("record_peers", &[directory, &server.url(), "a-session"]);
    recorder.shows("joined").await;
    let mut player = Program::start("play_file", &[film.to_str().unwrap(), &server.url(), "a-session"]);
    player.shows("has got the film").await;
    recorder.shows(": 30 pictures").await;
    let Program { input, mut lines, mut child } = recorder;
    drop(input);
    let line = loop {
        let line = soon("a line", lines.next_line()).await.unwrap().expect("the file is told");
        if line.contains(".webm has ") {
            break line;
        }
    };
    assert!(soon("the end", child.wait()).await.unwrap().success());
    let (path, _) = line.split_once(" has ").unwrap();
    let mut reader = Reader::open(std::io::BufReader::new(File::open(path).unwrap())).unwrap();
    assert_eq!((reader.tracks()[0].width, reader.tracks()[0].height), (320, 240));
    let (mut pictures, mut sounds) = (Vec::new(), 0);
    while let Some(frame) = reader.next_frame().unwrap() {
        match frame.track {
            0 => pictures.push(frame.data),
            _ => sounds += 1,
        }
    }
    // A test that fails is not to print all pictures.
    assert!(pictures == (0..30).map(picture).collect::<Vec<_>>(), "{} pictures", pictures.len());
    assert!(sounds > 60, "{sounds} packets of sound");
}

#[tokio::test]
async fn a_picture_comes_back() {
    let server = Server::start().await;
    let mut mirror = Program::start("echo_video", &[&server.url(), "a-session"]);
    mirror.shows("joined").await;
    let (_call, mut events) = join(&server, vec![Track::video("camera")]).await;
    let receiver = receiver(&mut events, TrackKind::Video).await;
    let connection = connected(&mut events).await;
    let sender =
        connection.transceivers().into_iter().map(|one| one.sender()).find(|one| one.track().is_some());
    let sender = sender.expect("a sender of the camera");
    // The mirror asks for a key frame.
    while !matches!(
        soon("a request", sender.next_request()).await,
        Some(columba::EncoderRequest::KeyFrame { .. })
    ) {}
    for number in 0..30 {
        let at = Duration::from_millis(40) * u32::from(number);
        sender.send_frame(&OutgoingFrame::new(&picture(number), at)).unwrap();
        assert!(next_frame(&receiver).await.data == picture(number), "picture {number}");
    }
}

#[tokio::test]
async fn loudness_is_read_from_packets() {
    let server = Server::start().await;
    let mut meter = Program::start("audio_levels", &[&server.url(), "a-session"]);
    meter.shows("joined").await;
    let (_call, mut events) = join(&server, vec![Track::audio("microphone")]).await;
    let connection = connected(&mut events).await;
    let sender =
        connection.transceivers().into_iter().map(|one| one.sender()).find(|one| one.track().is_some());
    let sender = sender.expect("a sender of the microphone");
    let speaking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for number in 0_u32.. {
            pace.tick().await;
            // Packets before the connection is up are refused.
            let audio_level = Some((if number.is_multiple_of(2) { 60 } else { 23 }, true));
            let data = [0xFC, number as u8, 0xFE];
            let frame = OutgoingFrame::new(&data, Duration::from_millis(20) * number);
            let _ = sender.send_frame(&OutgoingFrame { audio_level, ..frame });
        }
    };
    tokio::select! {
        () = speaking => {}
        line = meter.shows("dBov") => assert!(line.ends_with(": -23 dBov, voice"), "{line}"),
    }
}

#[tokio::test]
async fn frames_are_encrypted_end_to_end() {
    let mut program = Program::start("encrypted_frames", &[]);
    assert_eq!(program.line().await, "45 of 50 pictures were decrypted, the others are forged");
    program.ends().await;
}

//! A peer that shows a film to the other side and counts the frames that it gets, by commands from
//! its standard input: the tests of media against other implementations
//! (`e2e/peers/media-peer.js`) give the same commands to all.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use columba::{
    BundlePolicy, Configuration, Event, MediaConfiguration, OutgoingFrame, PeerConnection, RtpReceiver,
    RtpSender, SdpType, SessionDescription, Track, TrackKind, Transceiver, TransceiverDirection,
};
use columba_containers::{Codec, Frame, Reader};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader as AsyncBufReader};
use tokio::time::{Instant, sleep_until};

use crate::{Failure, from_json, report};

/// The options of the peer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Options {
    /// The path of the film, whose picture begins with a key frame, and repeats them.
    film: String,
    /// The name of the only audio codec, if it is not the film's: G.711 has silence.
    #[serde(default)]
    audio: Option<String>,
    /// Every picture that arrives is sent back, in place of the film.
    #[serde(default)]
    echo: bool,
    /// Everything goes over one transport from the first offer on.
    #[serde(default)]
    max_bundle: bool,
    /// Several encodings of a picture are taken.
    #[serde(default)]
    simulcast: bool,
}

/// A command.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Command {
    /// Offer, with all candidates.
    Offer,
    /// Set the other side's description; an offer is answered.
    SetRemote(SessionDescription),
    /// Report the frames of each kind that have arrived, and statistics of the streams.
    Count,
    /// Add a track of the picture, for the next offer.
    AddVideo,
    /// Stop the last transceiver.
    StopLast,
    /// Take the picture's track away, or give it again.
    Replace { with: bool },
    /// Change the direction of the picture.
    Direct { direction: String },
    /// Restart ICE with the next offer.
    Restart,
    /// Close the connection.
    End,
}

/// The frames of a film.
struct Film {
    codecs: Vec<Codec>,
    frames: Vec<Frame>,
    length: Duration,
}

impl Film {
    fn read(path: &str) -> Result<Self, Failure> {
        let mut reader = Reader::open(BufReader::new(File::open(path)?))?;
        let codecs = reader.tracks().iter().map(|track| track.codec).collect();
        let (mut frames, mut length) = (Vec::new(), Duration::ZERO);
        while let Some(frame) = reader.next_frame()? {
            length = length.max(frame.timestamp + Duration::from_millis(40));
            frames.push(frame);
        }
        Ok(Self { codecs, frames, length })
    }
}

/// Frames that have arrived.
#[derive(Default)]
struct Counts {
    audio: AtomicU64,
    video: AtomicU64,
    /// Frames of the picture whose times do not grow.
    backwards: AtomicU64,
}

struct Shown {
    connection: PeerConnection,
    options: Options,
    film: Arc<Film>,
    counts: Arc<Counts>,
    /// The transceivers whose receivers are listened to.
    attended: Vec<columba::TransceiverId>,
}

/// Runs until its input ends.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let film = Arc::new(Film::read(&options.film)?);
    let bundle_policy = if options.max_bundle { BundlePolicy::MaxBundle } else { BundlePolicy::default() };
    let mut media = MediaConfiguration::default();
    media.receive_simulcast = options.simulcast;
    let configuration = Configuration { bundle_policy, media: Arc::new(media), ..Configuration::default() };
    let (connection, mut events) = PeerConnection::new(configuration)?;
    let (counts, attended) = (Arc::default(), Vec::new());
    let mut peer = Shown { connection, options, film, counts, attended };
    let mut lines = AsyncBufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => peer.execute(from_json(&line)?).await?,
                None => return Ok(()),
            },
            Some(event) = events.recv() => peer.handle_event(&event),
        }
    }
}

impl Shown {
    async fn execute(&mut self, command: Command) -> Result<(), Failure> {
        let connection = self.connection.clone();
        match command {
            Command::Offer => {
                if connection.transceivers().is_empty() {
                    connection.add_track(Track::audio("sound"), ["film"])?;
                    connection.add_track(Track::video("picture"), ["film"])?;
                }
                self.attend()?;
                let offer = connection.set_local_description(None).await?;
                self.describe_again(&offer);
            }
            Command::SetRemote(description) => {
                let is_offer = description.kind == SdpType::Offer;
                connection.set_remote_description(description).await?;
                if is_offer {
                    for transceiver in connection.transceivers() {
                        if transceiver.current_direction().is_none() {
                            let track = match transceiver.kind() {
                                TrackKind::Audio => Track::audio("sound"),
                                TrackKind::Video => Track::video("picture"),
                            };
                            transceiver.replace_track(Some(track))?;
                            transceiver.set_direction(TransceiverDirection::SendRecv)?;
                        }
                    }
                    self.attend()?;
                    let answer = connection.set_local_description(None).await?;
                    self.describe_again(&answer);
                }
            }
            Command::Count => self.count(),
            Command::AddVideo => {
                connection.add_track(Track::video("another picture"), ["film"])?;
            }
            Command::StopLast => {
                if let Some(last) = connection.transceivers().last() {
                    last.stop()?;
                }
            }
            Command::Replace { with } => {
                self.picture()?.replace_track(with.then(|| Track::video("picture")))?;
            }
            Command::Direct { direction } => {
                let direction = match direction.as_str() {
                    "sendrecv" => TransceiverDirection::SendRecv,
                    "sendonly" => TransceiverDirection::SendOnly,
                    "recvonly" => TransceiverDirection::RecvOnly,
                    _ => TransceiverDirection::Inactive,
                };
                self.picture()?.set_direction(direction)?;
            }
            Command::Restart => connection.restart_ice(),
            Command::End => connection.close().await,
        }
        Ok(())
    }

    fn picture(&self) -> Result<Transceiver, Failure> {
        let all = self.connection.transceivers();
        let video = all.into_iter().find(|one| one.kind() == TrackKind::Video);
        video.ok_or_else(|| "there is no picture".into())
    }

    fn handle_event(&mut self, event: &Event) {
        match event {
            Event::IceCandidate(None) => self.describe(),
            Event::ConnectionState(state) => {
                report(&json!({ "event": "state", "state": format!("{state:?}").to_lowercase() }));
            }
            Event::Error(error) => report(&json!({ "event": "error", "message": error.to_string() })),
            _ => {}
        }
    }

    /// Reports a description of which no candidates come any more.
    fn describe_again(&self, description: &SessionDescription) {
        if description.sdp.contains("a=end-of-candidates") {
            self.describe();
        }
    }

    fn describe(&self) {
        if let Some(SessionDescription { kind, sdp }) = self.connection.local_description() {
            report(&json!({ "event": "description", "type": kind.to_string(), "sdp": sdp }));
        }
    }

    /// Sends to, and counts what comes from, each transceiver that is new.
    fn attend(&mut self) -> Result<(), Failure> {
        for transceiver in self.connection.transceivers() {
            if self.attended.contains(&transceiver.id()) {
                continue;
            }
            self.attended.push(transceiver.id());
            let (sender, receiver) = (transceiver.sender(), transceiver.receiver());
            let echoes = self.options.echo && transceiver.kind() == TrackKind::Video;
            tokio::spawn(listen(receiver.clone(), self.counts.clone(), echoes.then(|| sender.clone())));
            if echoes {
                tokio::spawn(pass_requests(sender, receiver));
            } else {
                tokio::spawn(show(self.film.clone(), sender, self.options.audio.clone()));
            }
        }
        Ok(())
    }

    fn count(&self) {
        let stats = self.connection.stats().rtp;
        let inbound = stats.inbound.iter().map(|one| {
            json!({
                "kind": format!("{:?}", one.kind).to_lowercase(),
                "codec": one.codec.as_ref().map(|codec| codec.name().to_owned()),
                "rid": one.rid,
                "packets": one.received.packets_received,
                "lost": one.received.packets_lost,
                "nacks": one.received.nack_count,
                "plis": one.received.pli_count,
                "repaired": one.received.retransmitted_packets_received,
                "corrections": one.fec_packets_received,
                "frames": one.received.frames_received,
                "keys": one.received.key_frames_received,
            })
        });
        let outbound = stats.outbound.iter().map(|one| {
            json!({
                "kind": format!("{:?}", one.kind).to_lowercase(),
                "codec": one.codec.as_ref().map(|codec| codec.name().to_owned()),
                "packets": one.sent.packets_sent,
                "frames": one.sent.frames_sent,
                "nacks": one.sent.nack_count,
                "plis": one.sent.pli_count,
                "repaired": one.sent.retransmitted_packets_sent,
                "lost": one.remote.packets_lost,
                "target": one.target_bitrate,
            })
        });
        report(&json!({
            "event": "counts",
            "audio": self.counts.audio.load(Ordering::Relaxed),
            "video": self.counts.video.load(Ordering::Relaxed),
            "backwards": self.counts.backwards.load(Ordering::Relaxed),
            "inbound": inbound.collect::<Vec<_>>(),
            "outbound": outbound.collect::<Vec<_>>(),
        }));
    }
}

/// Counts the frames of a receiver, and sends them back.
async fn listen(receiver: RtpReceiver, counts: Arc<Counts>, back: Option<RtpSender>) {
    let (count, mut last) = match receiver.kind() {
        TrackKind::Audio => (&counts.audio, None),
        TrackKind::Video => (&counts.video, None),
    };
    let mut waits_for_key = true;
    while let Some(frame) = receiver.recv_frame().await {
        count.fetch_add(1, Ordering::Relaxed);
        let stream = (frame.info.ssrc, frame.info.timestamp);
        if last.is_some_and(|(ssrc, time)| ssrc == stream.0 && time >= stream.1) {
            counts.backwards.fetch_add(1, Ordering::Relaxed);
        }
        last = Some(stream);
        let Some(back) = &back else { continue };
        if waits_for_key && !frame.info.key {
            receiver.request_key_frame();
            continue;
        }
        let at =
            Duration::from_secs_f64(frame.info.timestamp as f64 / f64::from(frame.info.clock_rate.max(1)));
        let payload_type = Some(frame.info.payload_type);
        let outgoing = OutgoingFrame { payload_type, ..OutgoingFrame::new(&frame.data, at) };
        waits_for_key = back.send_frame(&outgoing).is_err();
    }
}

/// Asks the one whose pictures are sent back for the key frames that are wanted of us.
async fn pass_requests(sender: RtpSender, receiver: RtpReceiver) {
    while let Some(request) = sender.next_request().await {
        if matches!(request, columba::EncoderRequest::KeyFrame { .. }) {
            receiver.request_key_frame();
        }
    }
}

/// Shows a kind of a film again and again, for as long as there is the transceiver.
async fn show(film: Arc<Film>, sender: RtpSender, audio: Option<String>) {
    let is_video = sender.kind() == TrackKind::Video;
    let own = |frame: &&Frame| film.codecs[frame.track].is_video() == is_video;
    let start = Instant::now();
    let mut waits_for_key = true;
    for round in 0_u32.. {
        for frame in film.frames.iter().filter(own) {
            let at = film.length * round + frame.timestamp;
            sleep_until(start + at).await;
            let Ok(parameters) = sender.parameters() else { return };
            let name = match (is_video, &audio) {
                (false, Some(name)) => name,
                _ => match film.codecs[frame.track] {
                    Codec::Vp8 => "VP8",
                    Codec::Vp9 => "VP9",
                    Codec::Av1 => "AV1",
                    Codec::H264 => "H264",
                    _ => "opus",
                },
            };
            let found = parameters.codecs.iter().find(|one| one.codec.name().eq_ignore_ascii_case(name));
            let Some(payload_type) = found.map(|one| one.payload_type) else { continue };
            // 20 ms of G.711's silence.
            let silence = [0xFF; 160];
            let data = if !is_video && audio.is_some() { &silence[..] } else { &frame.data };
            let outgoing = OutgoingFrame {
                payload_type: Some(payload_type),
                captured_at: Some((start + at).into()),
                ..OutgoingFrame::new(data, at)
            };
            if !is_video || frame.key || !waits_for_key {
                waits_for_key = sender.send_frame(&outgoing).is_err();
            }
        }
    }
}

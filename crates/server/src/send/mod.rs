//! `columba send PATH…`: files, folders or standard input for one receiver.

mod content;
mod conversation;
mod exclude;
mod walk;

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use columba::call::CallEvent;
use columba::signaling::PeerId;
use columba::{DataChannel, DataChannelInit};
use columba_files::{CancelCode, LABEL, Offer, PROTOCOL, Secret, TopName, VERSION, cancel, wait};
use getrandom::SysRng;
use rand_core::{Rng as _, UnwrapErr};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, interval, sleep_until};

use self::content::Tar;
use self::conversation::{Conversation, Outcome, Source, Stream};
use self::exclude::Excludes;
use crate::transfer::end::{EXIT_CODES, Stop, StopKind};
use crate::transfer::lines::Lines;
use crate::transfer::link::Place;
use crate::transfer::meeting::{Host, HostEvent};
use crate::transfer::nearby::Announcement;
use crate::transfer::session::{DIRECT, NOT_DIRECT, RouteOptions, way};
use crate::transfer::show::{self, Show};
use crate::transfer::{self, saved, server};

/// The time for which a sender waits for the other side.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The time between two looks at a transfer that may have stalled.
const LOOK: Duration = Duration::from_millis(500);

/// The time without progress after which another receiver gets the transfer.
const STALLED: Duration = Duration::from_secs(2);

/// The command's options.
#[derive(Clone, Debug, Args)]
#[command(about = "Send files, folders or standard input to another terminal or browser", after_help = EXIT_CODES)]
pub(crate) struct SendOptions {
    /// Files and folders; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Leave out what fits this pattern, such as '*.tmp' or 'a/**'; may be given several times
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Send at most so much a second, such as 500k or 2M (bytes)
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit: Option<u64>,
    /// The name of standard input at the receiver
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    name: String,
    /// The own name that the receiver sees; by default that of the user
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Print no QR code
    #[arg(long)]
    no_qr: bool,
    /// Print events as JSON lines on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    route: RouteOptions,
}

/// The state that outlives the program, until the transfer is complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    transfer: String,
    /// The secret of the link.
    link: String,
    /// The secret that came of the code, once it has.
    #[serde(default)]
    agreed: Option<String>,
    /// The page of the server.
    page: String,
}

/// Files and folders that are ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    offer: Offer,
    tar: Tar,
}

/// Looks at files and folders that are to be sent over a channel that is made otherwise.
pub(crate) fn prepare(paths: &[PathBuf], show: &RefCell<Show>) -> Result<Prepared, Stop> {
    let excludes = Excludes::default();
    // The same paths are the same transfer, so that an interrupted one goes on.
    let transfer = hash_of(paths, "").unwrap_or_default();
    let from = std::env::var("USER").unwrap_or_default();
    let (offer, skipped) = walk::offer(paths, &excludes, &transfer, from)?;
    for note in &skipped {
        show.borrow().note(note);
    }
    let bytes = offer.bytes.unwrap_or(0);
    Ok(Prepared { offer, tar: Tar { paths: paths.to_vec(), excludes, bytes } })
}

impl Prepared {
    /// Sends them over this channel.
    pub(crate) async fn send(self, channel: DataChannel, show: &RefCell<Show>) -> Result<(), Stop> {
        let source = Arc::new(Mutex::new(Source::Files(self.tar)));
        let conversation = Conversation { channel, offer: self.offer, show, limit: None };
        match conversation.hold(source).await? {
            Outcome::Finished => Ok(()),
            Outcome::Broken => Err(Stop::new(
                StopKind::Lost,
                "The other side is gone; run both commands again to go on from here.",
            )),
        }
    }
}

/// Sends until the receiver has everything.
pub(crate) fn run(options: &SendOptions) -> Result<(), Stop> {
    transfer::run(send(options))
}

async fn send(options: &SendOptions) -> Result<(), Stop> {
    let show = RefCell::new(Show::new(options.json));
    let is_stream = options.paths.iter().any(|path| path.as_os_str() == "-");
    if is_stream && options.paths.len() > 1 {
        return Err(Stop::refused("Standard input is sent alone, without other paths."));
    }
    if !is_stream {
        // Before anything is said about servers.
        walk::check(&options.paths)?;
    }
    let excludes = Excludes::new(&options.exclude);
    let (named, key) = (options.route.server.as_deref(), options.route.join_key.as_deref());
    let state = if is_stream { None } else { state_file(options) };
    let before: Option<Saved> = state.as_ref().and_then(|path| saved::load(path));
    let place = match server::find(named, key).await? {
        Some(place) => place,
        None => {
            show.borrow()
                .note("No server is named and none runs here: this program opens one for the local network.");
            server::open_own().await?
        }
    };
    let is_going_on = before.as_ref().is_some_and(|before| before.page == place.page);
    let saved = before.filter(|_| is_going_on).unwrap_or_else(|| Saved::new(&place));
    let from = options.from.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default();
    let (offer, skipped, source) = if is_stream {
        let top = vec![TopName { name: options.name.clone(), folder: false, bytes: None }];
        let (transfer, entries) = (saved.transfer.clone(), Some(1));
        let offer = Offer { version: VERSION, transfer, from, entries, files: 1, top, ..Offer::default() };
        (offer, Vec::new(), Source::Stream(Box::new(Stream::new(options.name.clone()))))
    } else {
        let (offer, skipped) = walk::offer(&options.paths, &excludes, &saved.transfer, from)?;
        let bytes = offer.bytes.unwrap_or(0);
        (offer, skipped, Source::Files(Tar { paths: options.paths.clone(), excludes, bytes }))
    };
    for note in &skipped {
        show.borrow().note(note);
    }
    let sender = Sender {
        options,
        place,
        saved,
        state,
        offer,
        show: &show,
        lines: Lines::new(),
        host: None,
        announcement: None,
    };
    sender.wait(source, is_going_on).await
}

impl Saved {
    fn new(place: &Place) -> Self {
        let mut rng = UnwrapErr(SysRng);
        let transfer = format!("{:016x}", rng.next_u64());
        Self { transfer, link: Secret::random(&mut rng).reveal(), agreed: None, page: place.page.clone() }
    }
}

/// The file that keeps the state of sending these paths.
fn state_file(options: &SendOptions) -> Option<PathBuf> {
    let name = hash_of(&options.paths, &options.exclude.join("\0"))?;
    let folder = saved::folder()?.join("send");
    saved::make_folder(&folder).ok()?;
    Some(folder.join(format!("{name}.json")))
}

/// 16 hexadecimal digits that stand for these paths; `None` if one is not there.
fn hash_of(paths: &[PathBuf], further: &str) -> Option<String> {
    let mut text = String::new();
    for path in paths {
        text.push_str(&path.canonicalize().ok()?.to_string_lossy());
        text.push('\0');
    }
    text.push_str(further);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    Some(hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Sender<'a> {
    options: &'a SendOptions,
    place: Place,
    saved: Saved,
    state: Option<PathBuf>,
    offer: Offer,
    show: &'a RefCell<Show>,
    lines: Lines,
    host: Option<Host>,
    /// In the local network, as long as the code is good.
    announcement: Option<Announcement>,
}

/// A conversation with one receiver.
struct Active<'a> {
    line: usize,
    peer: PeerId,
    future: Pin<Box<dyn Future<Output = Result<Outcome, Stop>> + 'a>>,
}

/// A receiver that has the secret, and waits for the present one to end or to stall.
struct Waiting {
    line: usize,
    peer: PeerId,
    channel: DataChannel,
    /// True if it knows that it has to wait. One that takes the place of the former within
    /// [`LOOK`], because it was started again, does not hear of it.
    is_told: bool,
}

/// Tells those who wait that another receiver has the files.
fn refuse(others: &[Waiting]) {
    for other in others {
        let _ = other.channel.try_send(cancel(CancelCode::Taken, ""));
    }
}

impl<'a> Sender<'a> {
    async fn wait(mut self, source: Source, is_going_on: bool) -> Result<(), Stop> {
        let link: Secret =
            self.saved.link.parse().map_err(|_| Stop::refused("The saved state is damaged."))?;
        self.lines.join(&self.place, &link, &self.options.route).await?;
        if let Some(agreed) = self.saved.agreed.as_deref().and_then(|agreed| agreed.parse().ok()) {
            self.lines.join(&self.place, &agreed, &self.options.route).await?;
        }
        let host = Host::open(&self.place).await?;
        self.announcement = server::announce(&self.place, host.code.number());
        self.host = Some(host);
        self.save();
        self.announce(&link, is_going_on);
        let outcome = self.serve(source).await;
        let is_over =
            !matches!(&outcome, Err(stop) if matches!(stop.kind, StopKind::Lost | StopKind::Interrupted));
        if let Some(state) = self.state.as_ref().filter(|_| is_over) {
            let _ = fs::remove_file(state);
        }
        if let Some(host) = self.host.take() {
            host.close().await;
        }
        self.lines.leave().await;
        outcome
    }

    /// Talks to one receiver at a time, until one has everything.
    async fn serve(&mut self, source: Source) -> Result<(), Stop> {
        let show = self.show;
        let source = Arc::new(Mutex::new(source));
        let mut active: Option<Active<'_>> = None;
        let mut others: Vec<Waiting> = Vec::new();
        let mut deadline = Instant::now() + A_DAY;
        let mut look = interval(LOOK);
        // With --no-relay, the time at which a direct connection to the receiver should be up.
        let mut direct_by: Option<Instant> = None;
        loop {
            tokio::select! {
                (line, event) = self.lines.next() => match event {
                    CallEvent::PeerJoined { .. } if self.options.route.no_relay && active.is_none() => {
                        direct_by = Some(Instant::now() + DIRECT);
                    }
                    CallEvent::PeerConnected { peer, connection } => {
                        direct_by = None;
                        way(&connection).check(&self.options.route)?;
                        others.retain(|other| (other.line, other.peer) != (line, peer));
                        let is_new = active.take_if(|active| (active.line, active.peer) == (line, peer)).is_none();
                        if active.is_some() {
                            if let Some(channel) = self.open(line, peer) {
                                others.push(Waiting { line, peer, channel, is_told: false });
                            }
                            continue;
                        }
                        if is_new {
                            show.borrow().note(&format!("The other side is here, {}.", way(&connection)));
                        }
                        show.borrow().event("connected", json!({ "way": way(&connection).to_string() }));
                        active = self.open(line, peer).map(|channel| self.begin(line, peer, channel, &source));
                    }
                    CallEvent::PeerLeft { peer, .. } => others.retain(|other| (other.line, other.peer) != (line, peer)),
                    CallEvent::PeerInterrupted { .. } => show.borrow().note("The connection is interrupted; it is being mended."),
                    CallEvent::PeerRestored { .. } => show.borrow().note("The connection is back."),
                    CallEvent::SealRefused { .. } => show.borrow().note("A message without the right seal was dropped."),
                    CallEvent::SignalingClosed(error) if active.is_none() => {
                        return Err(transfer::meeting::sentence(&error));
                    }
                    _ => {}
                },
                event = next_of(&mut self.host) => self.met(event).await?,
                result = finish(&mut active) => {
                    let line = active.take().map_or(0, |active| active.line);
                    deadline = Instant::now() + A_DAY;
                    match result? {
                        Outcome::Finished => {
                            refuse(&others);
                            return Ok(());
                        }
                        Outcome::Broken => {
                            self.lines.keep(line);
                            show.borrow().note("The other side is gone; waiting for it to come back.");
                        }
                    }
                }
                _ = look.tick() => {
                    // A receiver that was started again is a new peer, and the former one never
                    // says that it has died.
                    let is_stalled = show.borrow().is_stalled(STALLED);
                    if !others.is_empty() && (active.is_none() || is_stalled) {
                        drop(active.take());
                        let Waiting { line, peer, channel, .. } = others.remove(0);
                        show.borrow_mut().pause();
                        active = Some(self.begin(line, peer, channel, &source));
                    }
                    for other in others.iter_mut().filter(|other| !other.is_told) {
                        other.is_told = other.channel.try_send(wait()).is_ok();
                    }
                }
                () = sleep_until(direct_by.unwrap_or(deadline)), if direct_by.is_some() => {
                    direct_by = None;
                    show.borrow().note(NOT_DIRECT);
                }
                () = sleep_until(deadline), if active.is_none() => {
                    return Err(Stop::new(StopKind::Lost, "The other side did not come within a day."));
                }
            }
        }
    }

    /// Begins to talk to a receiver.
    fn begin<'b>(
        &self,
        line: usize,
        peer: PeerId,
        channel: DataChannel,
        source: &Arc<Mutex<Source>>,
    ) -> Active<'b>
    where
        Self: 'b,
        'a: 'b,
    {
        let conversation =
            Conversation { channel, offer: self.offer.clone(), show: self.show, limit: self.options.limit };
        Active { line, peer, future: Box::pin(conversation.hold(source.clone())) }
    }

    /// A channel for a transfer; `None` if the connection is gone again.
    fn open(&self, line: usize, peer: PeerId) -> Option<DataChannel> {
        let init = DataChannelInit { protocol: PROTOCOL.to_owned(), ..DataChannelInit::default() };
        self.lines.call(line)?.open_channel(peer, LABEL, init).ok()
    }

    async fn met(&mut self, event: HostEvent) -> Result<(), Stop> {
        match event {
            HostEvent::Met(secret) => {
                self.saved.agreed = Some(secret.reveal());
                self.save();
                self.host.iter_mut().for_each(Host::confirm);
                self.lines.join(&self.place, &secret, &self.options.route).await?;
                self.announcement = None;
                if let Some(host) = self.host.take() {
                    tokio::spawn(host.close());
                }
            }
            HostEvent::WrongTry { left: 0 } => {
                (self.host, self.announcement) = (None, None);
                self.show
                    .borrow()
                    .note("Three wrong codes were tried, so the code is void. The link is still good.");
                self.show.borrow().event("code-void", json!({}));
            }
            HostEvent::WrongTry { left } => {
                let tries = if left == 1 { "one try is" } else { "two tries are" };
                self.show.borrow().note(&format!("A wrong code was tried; {tries} left."));
            }
            HostEvent::Lost(stop) => {
                (self.host, self.announcement) = (None, None);
                self.show.borrow().note(&format!("The code cannot be used any more: {stop}"));
            }
        }
        Ok(())
    }

    fn save(&self) {
        let Some(state) = &self.state else { return };
        if let Err(error) = saved::store(state, &self.saved) {
            let note = format!(
                "The transfer cannot be resumed later, because {} cannot be written ({error}).",
                state.display()
            );
            self.show.borrow().note(&note);
        }
    }

    fn announce(&self, link: &Secret, is_going_on: bool) {
        let show = self.show.borrow();
        let link = self.place.link(link);
        let code = self.host.as_ref().map(|host| host.code.to_string()).unwrap_or_default();
        let contents = contents(&self.offer);
        show.event(
            "waiting",
            json!({ "code": code, "link": link, "bytes": self.offer.bytes, "server": self.place.page }),
        );
        if is_going_on {
            show.note("This goes on with the transfer that was interrupted.");
        }
        let mut text =
            format!("Sending {contents}.\n\nOn the other machine run\n\n  columba receive {code}\n");
        let server = self.options.route.server.is_none() && !self.place.page.contains("localhost");
        if server {
            text.push_str(&format!(
                "\n(with --server {}, unless it is in the same network)\n",
                self.place.page
            ));
        }
        text.push_str(&format!("\nor open\n\n  {link}\n"));
        if !self.options.no_qr && std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            text.extend(show::qr(&link).map(|qr| format!("\n{qr}\n")));
        }
        show.text(&text);
    }
}

async fn next_of(host: &mut Option<Host>) -> HostEvent {
    match host {
        Some(host) => host.next().await,
        None => std::future::pending().await,
    }
}

async fn finish(active: &mut Option<Active<'_>>) -> Result<Outcome, Stop> {
    match active {
        Some(active) => (&mut active.future).await,
        None => std::future::pending().await,
    }
}

/// The content of an offer in words.
fn contents(offer: &Offer) -> String {
    let size = offer
        .bytes
        .map_or_else(|| "of unknown length".to_owned(), |bytes| format!("({})", show::size(bytes)));
    match &offer.top[..] {
        [one] if offer.more == 0 => {
            let files = if one.folder { format!(", {} files", offer.files) } else { String::new() };
            format!("{:?}{files} {size}", one.name)
        }
        all => format!(
            "{} files and folders, {} files in all {size}",
            all.len() as u64 + offer.more,
            offer.files
        ),
    }
}

/// Bytes per second, such as `500k`.
fn rate(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text
        .trim_end_matches(['B', 'b'])
        .split_at_checked(text.trim_end_matches(['B', 'b']).len().saturating_sub(1))
    {
        Some((digits, "k" | "K")) => (digits, 1000),
        Some((digits, "M" | "m")) => (digits, 1_000_000),
        Some((digits, "G" | "g")) => (digits, 1_000_000_000),
        _ => (text, 1),
    };
    let rate =
        digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).filter(|rate| *rate > 0);
    rate.ok_or_else(|| "a rate is a number of bytes a second, such as 500k or 2M".to_owned())
}

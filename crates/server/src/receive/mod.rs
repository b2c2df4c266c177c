//! `columba receive CODE|LINK`: takes what a sender offers.

mod conversation;
mod target;

use std::cell::RefCell;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use clap::Args;
use columba::DataChannel;
use columba::call::CallEvent;
use columba_files::{Code, LABEL, Secret};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use self::conversation::{Conversation, LAST, Outcome};
use self::target::Saved;
use crate::transfer::end::{EXIT_CODES, Stop, StopKind};
use crate::transfer::lines::Lines;
use crate::transfer::link::{Invitation, Place};
use crate::transfer::session::{DIRECT, NOT_DIRECT, RouteOptions, way};
use crate::transfer::show::Show;
use crate::transfer::{self, meeting, saved, server};

/// The time for which a receiver waits for the sender to come, or to come back.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The command's options.
#[derive(Clone, Debug, Args)]
#[command(about = "Receive what another terminal sends, by its code or link", after_help = EXIT_CODES)]
pub(crate) struct ReceiveOptions {
    /// The code, such as 7-copper-violin, or the link that the sender shows
    #[arg(required = true, value_name = "CODE|LINK", num_args = 1..=3)]
    invitation: Vec<String>,
    /// The folder to which the files go; - writes a single file to standard output
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    /// Take the files without asking
    #[arg(long, short)]
    yes: bool,
    /// Replace files that are there already
    #[arg(long)]
    overwrite: bool,
    /// Print events as JSON lines on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    route: RouteOptions,
}

impl ReceiveOptions {
    /// The options for a channel that is there already.
    pub(crate) fn to_folder(out: PathBuf, yes: bool, overwrite: bool) -> Self {
        Self { invitation: Vec::new(), out, yes, overwrite, json: false, route: RouteOptions::default() }
    }
}

/// Takes what the sender at the other end of a channel offers. If that breaks, what is there is
/// kept for the next time.
pub(crate) async fn over(
    channel: DataChannel,
    options: &ReceiveOptions,
    show: &RefCell<Show>,
) -> Result<(), Stop> {
    let saved = Saved::new(None, String::new(), String::new());
    let conversation =
        Conversation { channel: channel.clone(), options, saved: &saved, show, is_accepted: false };
    match conversation.hold().await? {
        Outcome::Finished => {
            let _ = tokio::time::timeout(LAST, channel.closed()).await;
            Ok(())
        }
        Outcome::Broken { .. } => {
            Err(Stop::new(StopKind::Lost, "The sender is gone; run both commands again to go on from here."))
        }
    }
}

/// Receives until everything is there.
pub(crate) fn run(options: &ReceiveOptions) -> Result<(), Stop> {
    let key = options.route.join_key.as_deref();
    let invitation = Invitation::parse(&options.invitation.join(" "), key)?;
    if options.out.as_os_str() != "-" && options.out.exists() && !options.out.is_dir() {
        return Err(Stop::refused(format!(
            "{} is a file; name the folder for what arrives with --out.",
            options.out.display()
        )));
    }
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    if !options.yes && !is_terminal {
        return Err(Stop::refused(
            "There is no terminal to ask at: say --yes to take the files without a question.",
        ));
    }
    if options.json && options.out.as_os_str() == "-" {
        return Err(Stop::refused("Standard output is either the file's (--out -) or for events (--json)."));
    }
    transfer::run(receive(options, invitation))
}

async fn receive(options: &ReceiveOptions, invitation: Invitation) -> Result<(), Stop> {
    let show = RefCell::new(Show::new(options.json));
    let (place, secret, code) = match invitation {
        Invitation::Link(place, secret) => (place, secret, None),
        Invitation::Code(code) => by_code(options, &code, &show).await?,
    };
    let state = Saved::new(code, place.page.clone(), secret.reveal());
    let mut lines = Lines::new();
    lines.join(&place, &secret, &options.route).await?;
    let outcome = wait(options, &mut lines, &state, &show).await;
    let is_over =
        !matches!(&outcome, Err(stop) if matches!(stop.kind, StopKind::Lost | StopKind::Interrupted));
    if let Some(path) = state.code.as_deref().and_then(agreed_file).filter(|_| is_over) {
        let _ = std::fs::remove_file(path);
    }
    lines.leave().await;
    outcome
}

/// The secret that belongs to a code: agreed on now, or when the transfer began.
async fn by_code(
    options: &ReceiveOptions,
    code: &Code,
    show: &RefCell<Show>,
) -> Result<(Place, Secret, Option<String>), Stop> {
    let key = options.route.join_key.as_deref();
    let hash = hash_of(code);
    let former = Saved::all(&options.out).into_iter().find(|saved| saved.code.as_ref() == Some(&hash));
    let former = former.or_else(|| saved::load(&agreed_file(&hash)?));
    if let Some(former) = former
        && let Ok(secret) = former.secret.parse()
    {
        show.borrow().note("This goes on with the transfer that was interrupted.");
        return Ok((Place::parse(&former.page, key)?, secret, Some(hash)));
    }
    let places = match options.route.server.as_deref().filter(|named| !named.is_empty()) {
        Some(named) => vec![Place::parse(named, key)?],
        None => {
            show.borrow().note("No server is named: looking for the sender in the local network.");
            server::find_sender(code.number(), key).await?
        }
    };
    let mut fault = None;
    for place in places {
        // Another sender may have the same number.
        match meeting::meet(&place, code).await {
            Ok(secret) => {
                // The code is void now; a receiver that is started again needs the secret.
                if let Some(path) = agreed_file(&hash) {
                    let state = Saved::new(Some(hash.clone()), place.page.clone(), secret.reveal());
                    let _ = saved::store(&path, &state);
                }
                return Ok((place, secret, Some(hash)));
            }
            Err(stop) => fault = fault.filter(is_wrong_code).or(Some(stop)),
        }
    }
    Err(fault.unwrap_or_else(|| {
        Stop::refused(
            "No sender with this code is in the local network: name the sender's server with --server or COLUMBA_SERVER, or use the sender's link in place of the code.",
        )
    }))
}

fn is_wrong_code(stop: &Stop) -> bool {
    stop.kind == StopKind::Untrusted
}

/// The file that keeps what came of a code until the transfer is over.
fn agreed_file(hash: &str) -> Option<PathBuf> {
    let folder = saved::folder()?.join("receive");
    saved::make_folder(&folder).ok()?;
    Some(folder.join(format!("{hash:.16}.json")))
}

fn hash_of(code: &Code) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, code.to_string().as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A conversation with the sender. Its channel closes when the sender goes.
type Conversing<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Stop>> + 'a>>;

async fn wait(
    options: &ReceiveOptions,
    lines: &mut Lines,
    saved: &Saved,
    show: &RefCell<Show>,
) -> Result<(), Stop> {
    let mut active: Option<Conversing<'_>> = None;
    let mut deadline = Instant::now() + A_DAY;
    let mut was_accepted = false;
    // With --no-relay, the time at which a direct connection to the sender should be up.
    let mut direct_by: Option<Instant> = None;
    loop {
        tokio::select! {
            (_, event) = lines.next() => match event {
                CallEvent::PeerJoined { .. } if options.route.no_relay && active.is_none() => {
                    direct_by = Some(Instant::now() + DIRECT);
                }
                CallEvent::PeerConnected { connection, .. } => {
                    direct_by = None;
                    way(&connection).check(&options.route)?;
                    show.borrow().note(&format!("Connected to the sender, {}.", way(&connection)));
                    show.borrow().event("connected", json!({ "way": way(&connection).to_string() }));
                }
                // A sender that was started again is a new peer, and takes the place of the former.
                CallEvent::ChannelOpened { channel, .. } if channel.label() == LABEL => {
                    drop(active.take());
                    show.borrow_mut().pause();
                    let conversation = Conversation { channel, options, saved, show, is_accepted: was_accepted };
                    active = Some(Box::pin(conversation.hold()));
                }
                CallEvent::PeerInterrupted { .. } => show.borrow().note("The connection is interrupted; it is being mended."),
                CallEvent::PeerRestored { .. } => show.borrow().note("The connection is back."),
                CallEvent::SealRefused { .. } => show.borrow().note("A message without the right seal was dropped."),
                CallEvent::SignalingClosed(error) if active.is_none() => return Err(meeting::sentence(&error)),
                _ => {}
            },
            result = finish(&mut active) => {
                active = None;
                deadline = Instant::now() + A_DAY;
                match result? {
                    // Leaving closes the connection when the sender has the last message, too.
                    Outcome::Finished => return Ok(()),
                    Outcome::Broken { accepted } => {
                        was_accepted |= accepted;
                        show.borrow().note("The sender is gone; waiting for it to come back.");
                    }
                }
            }
            () = sleep_until(direct_by.unwrap_or(deadline)), if direct_by.is_some() => {
                return Err(Stop::new(StopKind::Lost, NOT_DIRECT));
            }
            () = sleep_until(deadline), if active.is_none() => {
                return Err(Stop::new(StopKind::Lost, "The sender did not come within a day."));
            }
        }
    }
}

async fn finish(active: &mut Option<Conversing<'_>>) -> Result<Outcome, Stop> {
    match active {
        Some(active) => active.await,
        None => std::future::pending().await,
    }
}

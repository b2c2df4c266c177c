//! `columba pipe [LINK]`: bytes between two machines, like netcat, directly and encrypted.

mod stream;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use columba::call::CallEvent;
use columba::signaling::PeerId;
use columba::{DataChannel, DataChannelInit, PeerConnection};
use columba_files::Secret;
use getrandom::SysRng;
use rand_core::{Rng as _, UnwrapErr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use self::stream::{Outcome, Stream};

use crate::terminal::one_line;
use crate::transfer::end::{EXIT_CODES, Stop, StopKind};
use crate::transfer::lines::Lines;
use crate::transfer::link::Invitation;
use crate::transfer::session::{RouteOptions, way};
use crate::transfer::{self, server};

/// The label of the channels; each carries one stream both ways.
const LABEL: &str = "pipe";

/// The subprotocol before the identifier of a stream, which goes on over several channels.
const PROTOCOL: &str = "columba-pipe.1.";

/// Streams at most at the same time.
const MAX_STREAMS: usize = 256;

/// The time in which the last bytes arrive.
const LAST: Duration = Duration::from_secs(10);

/// The command's options.
#[derive(Clone, Debug, Args)]
#[command(about = "Connect standard input and output, a TCP port or a program of two machines", after_help = EXIT_CODES)]
pub(crate) struct PipeOptions {
    /// The link that the other side shows; without one, a new one is made
    link: Option<String>,
    /// Carry each connection to this port of this machine to the other side (with LINK)
    #[arg(long, value_name = "PORT", requires = "link")]
    listen: Option<u16>,
    /// Connect each stream of the other side to this address (without LINK)
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["link", "exec"])]
    connect: Option<String>,
    /// Connect each stream of the other side to the input and output of this command (without LINK)
    #[arg(long, value_name = "COMMAND", conflicts_with = "link")]
    exec: Option<String>,
    #[command(flatten)]
    route: RouteOptions,
}

/// Carries bytes until both directions have ended.
pub(crate) fn run(options: &PipeOptions) -> Result<(), Stop> {
    transfer::run(pipe(options))
}

async fn pipe(options: &PipeOptions) -> Result<(), Stop> {
    let (named, key) = (options.route.server.as_deref(), options.route.join_key.as_deref());
    let (place, secret) =
        match options.link.as_deref().map(|link| Invitation::parse(link, key)).transpose()? {
            Some(Invitation::Link(place, secret)) => (place, secret),
            Some(Invitation::Code(_)) => return Err(Stop::refused("A pipe has no code; give the link.")),
            None => {
                let place = match server::find(named, key).await? {
                    Some(place) => place,
                    None => server::open_own().await?,
                };
                (place, Secret::random(&mut UnwrapErr(SysRng)))
            }
        };
    let mut lines = Lines::new();
    let line = lines.join(&place, &secret, &options.route).await?;
    if options.link.is_none() {
        eprintln!("On the other machine run\n\n  columba pipe '{}'\n", place.link(&secret));
    }
    let listener = match options.listen {
        Some(port) => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|error| Stop::refused(format!("Port {port} cannot be used: {error}.")))?)
        }
        None => None,
    };
    let outcome = carry(options, &mut lines, line, listener).await;
    lines.leave().await;
    outcome
}

async fn carry(
    options: &PipeOptions,
    lines: &mut Lines,
    line: usize,
    listener: Option<TcpListener>,
) -> Result<(), Stop> {
    // A pipe of standard input and output ends with its only stream; the others serve on.
    let is_single = listener.is_none() && options.connect.is_none() && options.exec.is_none();
    let mut peer: Option<PeerId> = None;
    let mut is_begun = false;
    let mut streams = Streams::default();
    loop {
        tokio::select! {
            (_, event) = lines.next() => match event {
                CallEvent::PeerConnected { peer: other, connection } => {
                    way(&connection).check(&options.route)?;
                    if peer.is_some_and(|peer| peer != other) {
                        lines.call(line).inspect(|call| call.dismiss(other));
                        continue;
                    }
                    peer = Some(other);
                    eprintln!("* Connected, {}.", way(&connection));
                    streams.connections.send_replace(Some(connection));
                    if is_single && options.link.is_some() && !std::mem::replace(&mut is_begun, true) {
                        streams.open(tokio::io::stdin(), tokio::io::stdout());
                    }
                }
                CallEvent::ChannelOpened { peer: other, channel }
                    if peer == Some(other) && channel.label() == LABEL && options.link.is_none() =>
                {
                    let Some(channel) = streams.take(channel) else { continue };
                    if is_single && std::mem::replace(&mut is_begun, true) || streams.is_full() {
                        channel.close();
                        continue;
                    }
                    streams.serve(channel, options);
                }
                CallEvent::PeerInterrupted { .. } => eprintln!("* The connection is interrupted; it is being mended."),
                CallEvent::PeerRestored { .. } => eprintln!("* The connection is back."),
                CallEvent::PeerLeft { peer: other, .. } if peer == Some(other) => {
                    streams.end();
                    if streams.tasks.is_empty() && !is_single {
                        return Ok(());
                    }
                }
                CallEvent::SignalingClosed(error) if peer.is_none() => return Err(transfer::meeting::sentence(&error)),
                _ => {}
            },
            Some(accepted) = accept(listener.as_ref()) => {
                if peer.is_some() && !streams.is_full() {
                    let (input, output) = accepted.into_split();
                    streams.open(input, output);
                }
            }
            Some(ended) = streams.tasks.join_next() => {
                let ended = ended.unwrap_or_else(|_| Err(Stop::new(StopKind::Lost, "A stream has failed.")));
                streams.channels.retain(|_, channels| !channels.is_closed());
                if is_single {
                    return ended;
                }
                if let Err(stop) = ended {
                    eprintln!("* {}", one_line(&stop.to_string()));
                }
            }
        }
    }
}

/// The streams of a pipe, each with a task.
struct Streams {
    tasks: JoinSet<Result<(), Stop>>,
    /// The connection to the other side.
    connections: watch::Sender<Option<PeerConnection>>,
    /// The streams that the other side has opened, by their identifiers: each takes further
    /// channels.
    channels: HashMap<String, mpsc::Sender<DataChannel>>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), connections: watch::channel(None).0, channels: HashMap::new() }
    }
}

impl Streams {
    fn is_full(&self) -> bool {
        self.tasks.len() >= MAX_STREAMS
    }

    /// Begins a stream to the other side.
    fn open<I, O>(&mut self, input: I, output: O)
    where
        I: AsyncRead + Unpin + Send + 'static,
        O: AsyncWrite + Unpin + Send + 'static,
    {
        let protocol = format!("{PROTOCOL}{:016x}", UnwrapErr(SysRng).next_u64());
        let mut connections = self.connections.subscribe();
        self.tasks.spawn(async move {
            let mut stream = Stream::new(input, output);
            loop {
                let connection = connections.borrow_and_update().clone().ok_or_else(lost)?;
                let init = DataChannelInit { protocol: protocol.clone(), ..DataChannelInit::default() };
                // One that was closed meanwhile is replaced.
                if let Ok(channel) = connection.create_data_channel(LABEL, init)
                    && is_over(&mut stream, &channel).await?
                {
                    return Ok(());
                }
                connections.changed().await.map_err(|_| lost())?;
            }
        });
    }

    /// Gives a channel to the stream that it belongs to; one of a new stream comes back.
    fn take(&self, channel: DataChannel) -> Option<DataChannel> {
        match self.channels.get(channel.protocol()) {
            Some(channels) => {
                // A stream that has ended meanwhile needs it no more.
                let _ = channels.try_send(channel);
                None
            }
            None => Some(channel),
        }
    }

    /// Serves a new stream of the other side's.
    fn serve(&mut self, channel: DataChannel, options: &PipeOptions) {
        let (sender, channels) = mpsc::channel(2);
        self.channels.insert(channel.protocol().to_owned(), sender);
        self.tasks.spawn(serve(channel, channels, options.connect.clone(), options.exec.clone()));
    }

    /// The other side has gone for good: no stream gets another channel.
    fn end(&mut self) {
        self.channels.clear();
        self.connections.send_replace(None);
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

fn lost() -> Stop {
    Stop::new(StopKind::Lost, "The other side is gone before everything was carried.")
}

/// Carries a stream over this channel; true if it is over.
async fn is_over<I, O>(stream: &mut Stream<I, O>, channel: &DataChannel) -> Result<bool, Stop>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    match stream.carry(channel).await {
        Outcome::Done => {
            // Both sides close; what was sent still goes out.
            let _ = tokio::time::timeout(LAST, channel.closed()).await;
            Ok(true)
        }
        Outcome::Broken => Ok(false),
        Outcome::Fault => Err(lost()),
    }
}

/// Serves a stream of the other side's.
async fn serve(
    channel: DataChannel,
    channels: mpsc::Receiver<DataChannel>,
    connect: Option<String>,
    exec: Option<String>,
) -> Result<(), Stop> {
    if let Some(address) = connect {
        let stream = TcpStream::connect(&address).await.map_err(|error| {
            channel.close();
            Stop::refused(format!("{address} cannot be reached: {error}."))
        })?;
        let (input, output) = stream.into_split();
        return carry_on(channel, channels, input, output).await;
    }
    let Some(command) = exec else {
        return carry_on(channel, channels, tokio::io::stdin(), tokio::io::stdout()).await;
    };
    let mut shell = tokio::process::Command::new("/bin/sh");
    shell.args(["-c", &command]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let child = shell.spawn().map_err(|error| Stop::refused(format!("The command cannot be run: {error}.")));
    match child.map(|mut child| (child.stdout.take(), child.stdin.take(), child)) {
        Ok((Some(output), Some(input), _child)) => carry_on(channel, channels, output, input).await,
        Ok(_) => Err(Stop::refused("The command has no input and output.")),
        Err(stop) => {
            channel.close();
            Err(stop)
        }
    }
}

/// Carries a stream over this channel, and those that follow if it breaks.
async fn carry_on(
    mut channel: DataChannel,
    mut channels: mpsc::Receiver<DataChannel>,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> Result<(), Stop> {
    let mut stream = Stream::new(input, output);
    while !is_over(&mut stream, &channel).await? {
        channel = channels.recv().await.ok_or_else(lost)?;
    }
    Ok(())
}

//! `columba pipe [LINK]`: bytes between two machines, like netcat, directly and encrypted.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use bytes::BytesMut;
use clap::Args;
use columba::call::CallEvent;
use columba::signaling::PeerId;
use columba::{DataChannel, DataChannelInit, Message};
use columba_files::Secret;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::terminal::one_line;
use crate::transfer::end::{EXIT_CODES, Stop, StopKind};
use crate::transfer::lines::Lines;
use crate::transfer::link::Invitation;
use crate::transfer::session::{RouteOptions, way};
use crate::transfer::{self, server};

/// The label of the channels; each carries one stream both ways.
const LABEL: &str = "pipe";

/// Bytes of a message.
const MESSAGE: usize = 32 * 1024;

/// The text after the last bytes of one direction.
const END: &str = "end";

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
    let mut streams: JoinSet<Result<(), Stop>> = JoinSet::new();
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
                    if is_single && options.link.is_some() && !is_begun {
                        is_begun = true;
                        streams.spawn(join(open(lines, line, other)?, tokio::io::stdin(), tokio::io::stdout()));
                    }
                }
                CallEvent::ChannelOpened { peer: other, channel }
                    if peer == Some(other) && channel.label() == LABEL && options.link.is_none() =>
                {
                    if is_single && std::mem::replace(&mut is_begun, true) || streams.len() >= MAX_STREAMS {
                        channel.close();
                        continue;
                    }
                    streams.spawn(serve(channel, options.connect.clone(), options.exec.clone()));
                }
                CallEvent::PeerLeft { peer: other, .. }
                    if peer == Some(other) && streams.is_empty() && !is_single =>
                {
                    return Ok(());
                }
                CallEvent::SignalingClosed(error) if peer.is_none() => return Err(transfer::meeting::sentence(&error)),
                _ => {}
            },
            Some(accepted) = accept(listener.as_ref()) => {
                let Some(other) = peer.filter(|_| streams.len() < MAX_STREAMS) else { continue };
                let (input, output) = accepted.into_split();
                streams.spawn(join(open(lines, line, other)?, input, output));
            }
            Some(ended) = streams.join_next() => {
                let ended = ended.unwrap_or_else(|_| Err(Stop::new(StopKind::Lost, "A stream has failed.")));
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

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

fn open(lines: &Lines, line: usize, peer: PeerId) -> Result<DataChannel, Stop> {
    let gone = || Stop::new(StopKind::Lost, "The other side is gone.");
    let call = lines.call(line).ok_or_else(gone)?;
    call.open_channel(peer, LABEL, DataChannelInit::default()).map_err(|_| gone())
}

/// Serves a stream of the other side's.
async fn serve(channel: DataChannel, connect: Option<String>, exec: Option<String>) -> Result<(), Stop> {
    if let Some(address) = connect {
        let stream = TcpStream::connect(&address).await.map_err(|error| {
            channel.close();
            Stop::refused(format!("{address} cannot be reached: {error}."))
        })?;
        let (input, output) = stream.into_split();
        return join(channel, input, output).await;
    }
    let Some(command) = exec else { return join(channel, tokio::io::stdin(), tokio::io::stdout()).await };
    let mut shell = tokio::process::Command::new("/bin/sh");
    shell.args(["-c", &command]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let child = shell.spawn().map_err(|error| Stop::refused(format!("The command cannot be run: {error}.")));
    match child.map(|mut child| (child.stdout.take(), child.stdin.take(), child)) {
        Ok((Some(output), Some(input), _child)) => join(channel, output, input).await,
        Ok(_) => Err(Stop::refused("The command has no input and output.")),
        Err(stop) => {
            channel.close();
            Err(stop)
        }
    }
}

/// Carries bytes both ways until both have ended.
pub(crate) async fn join(
    channel: DataChannel,
    mut input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> Result<(), Stop> {
    let lost = || Stop::new(StopKind::Lost, "The other side is gone before everything was carried.");
    let from = &channel;
    let sending = async {
        loop {
            let mut bytes = BytesMut::with_capacity(MESSAGE);
            match input.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return from.send(END.to_owned()).await.map_err(|_| lost()),
                Ok(_) => from.send(bytes.freeze()).await.map_err(|_| lost())?,
            }
        }
    };
    let receiving = async move {
        // It ends here: a program's input is closed by dropping it.
        let mut output = output;
        while let Some(message) = from.recv().await {
            match message {
                Message::Binary(bytes) => {
                    // If it is closed here, the other direction may still go on.
                    let _ = output.write_all(&bytes).await;
                    let _ = output.flush().await;
                }
                Message::Text(text) if text == END => {
                    let _ = output.shutdown().await;
                    return Ok(());
                }
                Message::Text(_) => {}
            }
        }
        Err(lost())
    };
    tokio::try_join!(sending, receiving)?;
    channel.close();
    // Both sides close; what was sent still goes out.
    let _ = tokio::time::timeout(LAST, channel.closed()).await;
    Ok(())
}

//! A transfer over one data channel, from the receiver's side.

use std::cell::RefCell;
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use columba::{DataChannel, Message};
use columba_files::{CancelCode, EntryKind, Offer, Receiving, Step, System, cancel};
use serde_json::json;
use tokio::task::block_in_place;

use super::ReceiveOptions;
use super::target::{Saved, Target};
use crate::terminal::one_line;
use crate::transfer::end::{Stop, StopKind};
use crate::transfer::show::{self, Show};

/// The time in which the sender takes the last message and closes the channel.
pub(super) const LAST: Duration = Duration::from_secs(5);

/// The way in which a conversation has ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everything is in its place.
    Finished,
    /// The channel broke; the transfer goes on over the next.
    Broken {
        /// True if the files were wanted.
        accepted: bool,
    },
}

/// A conversation.
pub(super) struct Conversation<'a> {
    pub(super) channel: DataChannel,
    pub(super) options: &'a ReceiveOptions,
    pub(super) saved: &'a Saved,
    pub(super) show: &'a RefCell<Show>,
    /// True if the person has agreed before.
    pub(super) is_accepted: bool,
}

/// The place where the content goes.
enum Output {
    Disk(Box<Target>),
    /// Standard output, with the bytes that were written.
    Standard,
}

impl Conversation<'_> {
    /// Talks until the end. The last message may still be on its way then.
    pub(super) async fn hold(mut self) -> Result<Outcome, Stop> {
        let result = self.talk().await;
        match &result {
            Ok(Outcome::Finished) => self.show.borrow_mut().end(),
            Ok(Outcome::Broken { .. }) => self.show.borrow_mut().pause(),
            Err(stop) => {
                self.show.borrow_mut().pause();
                let code = match stop.kind {
                    StopKind::Declined => CancelCode::Declined,
                    StopKind::Disk => CancelCode::NoSpace,
                    StopKind::Untrusted => CancelCode::Violation,
                    _ => CancelCode::Failed,
                };
                if self.channel.send(cancel(code, stop.to_string())).await.is_ok() {
                    self.channel.close();
                    let _ = tokio::time::timeout(LAST, self.channel.closed()).await;
                }
            }
        }
        result
    }

    async fn talk(&mut self) -> Result<Outcome, Stop> {
        let mut receiving = Receiving::new(System::own());
        let mut output: Option<Output> = None;
        while let Some(message) = self.channel.recv().await {
            let step = match &message {
                Message::Text(text) => receiving.handle_text(text),
                Message::Binary(bytes) => receiving.handle_binary(bytes).map(Some),
            };
            let step = step.map_err(|fault| {
                let sentence = fault.to_string();
                Stop::new(StopKind::Untrusted, format!("The transfer ends, because {}.", one_line(&sentence)))
            })?;
            let Some(step) = step else { continue };
            match step {
                Step::Waiting => {
                    self.show.borrow().note("The sender serves another receiver now; waiting for our turn.");
                    self.show.borrow().event("queued", json!({}));
                }
                Step::Offered(offer) => {
                    let (out, answer) = self.offered(&mut receiving, &offer)?;
                    output = Some(out);
                    if self.channel.send(answer).await.is_err() {
                        break;
                    }
                }
                Step::Done => {
                    block_in_place(|| self.place(output.as_mut()))?;
                    let finished = receiving.finished();
                    let _ = self.channel.send(finished).await;
                    return Ok(Outcome::Finished);
                }
                Step::Cancelled { code, text } => return Err(cancelled(code, &text)),
                Step::Write { acknowledge, .. } => {
                    block_in_place(|| self.act(&mut receiving, output.as_mut(), step))?;
                    self.show.borrow_mut().advance(receiving.bytes());
                    if acknowledge && self.channel.send(receiving.have()).await.is_err() {
                        break;
                    }
                }
                step => block_in_place(|| self.act(&mut receiving, output.as_mut(), step))?,
            }
        }
        if let Some(Output::Disk(target)) = &mut output
            && self.is_accepted
        {
            block_in_place(|| target.keep(|| (receiving.position(), receiving.position_bytes()), true))?;
        }
        Ok(Outcome::Broken { accepted: self.is_accepted })
    }

    /// Asks, and opens the place of the files.
    fn offered(&mut self, receiving: &mut Receiving, offer: &Offer) -> Result<(Output, String), Stop> {
        self.show.borrow().event("offer", serde_json::to_value(offer).unwrap_or_else(|_| json!({})));
        if !self.is_accepted {
            let question = describe(offer);
            if self.options.yes {
                self.show.borrow().note(&question);
            } else if !block_in_place(|| ask(&question)) {
                return Err(Stop::new(StopKind::Declined, "The files were not taken."));
            }
            self.is_accepted = true;
        }
        if self.options.out.as_os_str() == "-" {
            if offer.entries != Some(1) || offer.files != 1 {
                return Err(Stop::refused(
                    "Only a single file can go to standard output; name a folder with --out.",
                ));
            }
            return Ok((Output::Standard, receiving.accept(None)));
        }
        let mut target = Target::open(&self.options.out, offer, self.options.overwrite, self.saved.clone())?;
        let at = block_in_place(|| target.position());
        let answer = receiving.accept(at);
        self.show.borrow_mut().begin(offer.bytes, 0);
        Ok((Output::Disk(Box::new(target)), answer))
    }

    fn act(
        &self,
        receiving: &mut Receiving,
        output: Option<&mut Output>,
        step: Step<'_>,
    ) -> Result<(), Stop> {
        let target = match output {
            Some(Output::Disk(target)) => target,
            Some(Output::Standard) => return write_out(&step),
            None => return Ok(()),
        };
        match step {
            Step::Started { entry, offset } => {
                let bytes = target.started(entry, offset)?;
                receiving.set_bytes(bytes);
                self.show.borrow_mut().resume(bytes);
            }
            Step::Begin { entry, names, offset, leads_out } => {
                if leads_out {
                    let note = format!("The link {:?} leads out of its folder and is not made.", entry.path);
                    self.show.borrow().note(&note);
                } else {
                    target.begin(entry, &names, offset)?;
                }
            }
            Step::Write { offset, content, .. } => {
                target.write(offset, content)?;
                target.keep(|| (receiving.position(), receiving.position_bytes()), false)?;
            }
            Step::End { hash, .. } => {
                target.end(&hash)?;
                target.keep(|| (receiving.position(), receiving.position_bytes()), false)?;
            }
            Step::Waiting | Step::Offered(_) | Step::Done | Step::Cancelled { .. } => {}
        }
        Ok(())
    }

    fn place(&self, output: Option<&mut Output>) -> Result<(), Stop> {
        match output {
            Some(Output::Disk(target)) => {
                for path in target.finish()? {
                    self.show.borrow().event("file", json!({ "path": path.to_string_lossy() }));
                    self.show.borrow().note(&format!("Received {}", path.display()));
                }
                Ok(())
            }
            _ => std::io::stdout()
                .flush()
                .map_err(|error| Stop::disk(format!("Standard output is closed: {error}."))),
        }
    }
}

fn write_out(step: &Step<'_>) -> Result<(), Stop> {
    match step {
        Step::Write { content, .. } => std::io::stdout()
            .write_all(content)
            .map_err(|error| Stop::disk(format!("Standard output is closed: {error}."))),
        Step::Begin { entry, .. } if entry.kind != EntryKind::File => {
            Err(Stop::refused("Only a single file can go to standard output; name a folder with --out."))
        }
        _ => Ok(()),
    }
}

fn cancelled(code: CancelCode, text: &str) -> Stop {
    let reason = if text.is_empty() { ".".to_owned() } else { format!(": {}", one_line(text)) };
    Stop::new(
        StopKind::Declined,
        match code {
            CancelCode::Stopped => "The sender has stopped the transfer.".to_owned(),
            CancelCode::Taken => "Another receiver at this code or link has taken the files.".to_owned(),
            _ => format!("The sender cannot go on{reason}"),
        },
    )
}

/// The offer in words.
fn describe(offer: &Offer) -> String {
    let from = if offer.from.is_empty() { "The sender".to_owned() } else { offer.from.clone() };
    let size = offer
        .bytes
        .map_or_else(|| "of unknown length".to_owned(), |bytes| format!("({})", show::size(bytes)));
    let names: Vec<String> = offer.top.iter().take(4).map(|top| format!("{:?}", top.name)).collect();
    let more = offer.more + offer.top.len().saturating_sub(4) as u64;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let files = if offer.files == 1 { String::new() } else { format!(", {} files", offer.files) };
    one_line(&format!("{from} offers {}{more}{files} {size}.", names.join(", ")))
}

fn ask(question: &str) -> bool {
    eprint!("{question} Take it? [Y/n] ");
    let mut answer = String::new();
    if std::io::stdin().lock().read_line(&mut answer).is_err() {
        return false;
    }
    ["", "y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

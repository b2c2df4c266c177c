//! The terminal of a transfer: notes and progress on standard error, or events as JSON lines on
//! standard output.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::terminal::one_line;

/// The time between two lines of progress where there is no terminal.
const LINE_EACH: Duration = Duration::from_secs(10);

/// The time between two events of progress.
const EVENT_EACH: Duration = Duration::from_millis(500);

/// The way in which a transfer is shown.
#[derive(Debug)]
pub(crate) struct Show {
    json: bool,
    bar: Option<ProgressBar>,
    progress: Option<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    began: Instant,
    shown: Instant,
    moved: Instant,
    /// The bytes that were there at the beginning.
    before: u64,
    total: Option<u64>,
    bytes: u64,
}

impl Show {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json, bar: None, progress: None }
    }

    /// A sentence for the person.
    pub(crate) fn note(&self, sentence: &str) {
        if self.json {
            self.event("note", json!({ "text": sentence }));
        } else {
            self.line(&one_line(sentence));
        }
    }

    /// Text of several lines, of this program only.
    pub(crate) fn text(&self, text: &str) {
        if !self.json {
            self.line(text);
        }
    }

    /// An event for a program.
    pub(crate) fn event(&self, name: &str, mut fields: Value) {
        if self.json {
            fields["event"] = name.into();
            // If standard output is closed, there is no one to inform.
            let _ = writeln!(std::io::stdout().lock(), "{fields}");
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// The content begins, with so many bytes there already.
    pub(crate) fn begin(&mut self, total: Option<u64>, before: u64) {
        let now = Instant::now();
        self.progress = Some(Progress { began: now, shown: now, moved: now, before, total, bytes: before });
        if self.json || !std::io::stderr().is_terminal() {
            return;
        }
        let (bar, template) = match total {
            Some(total) => {
                (ProgressBar::new(total), "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            }
            None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec} {elapsed}"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.reset_eta();
        bar.set_position(before);
        self.bar = Some(bar);
    }

    /// So many bytes were there before.
    pub(crate) fn resume(&mut self, bytes: u64) {
        if let Some(progress) = &mut self.progress {
            progress.before = bytes;
        }
        self.advance(bytes);
    }

    /// So many bytes are there.
    pub(crate) fn advance(&mut self, bytes: u64) {
        let Some(progress) = &mut self.progress else { return };
        let now = Instant::now();
        if bytes > progress.bytes {
            progress.moved = now;
        }
        progress.bytes = bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            return;
        }
        if now.duration_since(progress.shown) < if self.json { EVENT_EACH } else { LINE_EACH } {
            return;
        }
        progress.shown = now;
        let progress = *progress;
        if self.json {
            self.event(
                "progress",
                json!({ "bytes": bytes, "total": progress.total, "speed": progress.speed(now) }),
            );
        } else {
            self.line(&progress.to_line(now));
        }
    }

    /// The content has ended.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let Some(progress) = self.progress.take() {
            let took = progress.began.elapsed();
            let sent = progress.bytes - progress.before.min(progress.bytes);
            self.event(
                "done",
                json!({ "bytes": progress.bytes, "sent": sent, "seconds": took.as_secs_f64() }),
            );
            self.text(&format!(
                "{} in {:.1} s, {}/s.",
                HumanBytes(sent),
                took.as_secs_f64(),
                HumanBytes(progress.speed(Instant::now()))
            ));
        }
    }

    /// Returns whether nothing has moved for so long.
    pub(crate) fn is_stalled(&self, time: Duration) -> bool {
        self.progress.is_none_or(|progress| progress.moved.elapsed() > time)
    }

    /// The content is interrupted.
    pub(crate) fn pause(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.progress = None;
    }
}

impl Progress {
    /// Bytes per second, on average.
    fn speed(&self, now: Instant) -> u64 {
        let seconds = now.duration_since(self.began).as_secs_f64().max(0.001);
        let sent = self.bytes.saturating_sub(self.before);
        (sent as f64 / seconds) as u64
    }

    fn to_line(self, now: Instant) -> String {
        let speed = self.speed(now);
        let Some(total) = self.total else {
            return format!("{}, {}/s", HumanBytes(self.bytes), HumanBytes(speed));
        };
        let percent = (self.bytes * 100).checked_div(total).unwrap_or(100);
        let left = total.saturating_sub(self.bytes).checked_div(speed);
        let left = left
            .map_or_else(String::new, |left| format!(", {} left", HumanDuration(Duration::from_secs(left))));
        format!("{percent} % of {}, {}/s{left}", HumanBytes(total), HumanBytes(speed))
    }
}

/// Bytes for a person.
pub(crate) fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A QR code of a text for the terminal, two modules in a character.
pub(crate) fn qr(text: &str) -> Option<String> {
    use qrcode::render::unicode::Dense1x2;
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::L).ok()?;
    // Light modules are drawn, so that it can be read on dark terminals: the crate draws its dark
    // ones.
    Some(
        code.render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .quiet_zone(true)
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qr_code_in_the_terminal_can_be_read() {
        let link = "https://columba.example.org:8443/#send=AAECAwQFBgcICQoLDA0ODw";
        let text = qr(link).unwrap();
        // Each character has two modules, drawn where they are light.
        let rows: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let width = rows[0].len();
        let is_light = |x: usize, y: usize| match rows[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => !y.is_multiple_of(2),
            _ => false,
        };
        const SCALE: usize = 4;
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width * SCALE, rows.len() * 2 * SCALE, |x, y| {
                if is_light(x / SCALE, y / SCALE) { 255 } else { 0 }
            });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        assert_eq!(grids[0].decode().unwrap().1, link);
    }

    #[test]
    fn progress_has_speed_and_time_left() {
        let began = Instant::now();
        let progress =
            Progress { began, shown: began, moved: began, before: 100, total: Some(1100), bytes: 600 };
        let line = progress.to_line(began + Duration::from_secs(5));
        assert_eq!(line, "54 % of 1.07 KiB, 100 B/s, 5 seconds left");
    }
}

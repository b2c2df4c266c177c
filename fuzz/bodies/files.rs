//! The target of file transfers. The crate's ordinary tests include this file, too, so that it is
//! compiled and exercised without a fuzzer.

use columba_files::{MAX_UNPACKED, Message, Offer, Paste, Receiving, Sending, Step, System, VERSION};

/// Plays a script with one message of the other side's per line, to a receiver and a sender: no
/// line panics, and nothing is written outside of what was offered.
///
/// ```text
/// {…}         a text message
/// p…          a binary message, in hexadecimal
/// a           the receiver accepts the offer
/// ```
pub(crate) fn transfer(data: &[u8]) {
    let Ok(script) = std::str::from_utf8(data) else { return };
    paste(script);
    let offer = Offer { version: VERSION, transfer: "0123456789abcdef".into(), ..Offer::default() };
    let (mut receiving, mut sending) = (Receiving::new(System::Windows), Sending::new(offer));
    let (mut offered, mut written) = (None, 0);
    for line in script.lines() {
        if line == "a" {
            let _ = receiving.accept(None);
        } else if let Some(digits) = line.strip_prefix('p') {
            let bytes: Vec<u8> = digits
                .as_bytes()
                .chunks_exact(2)
                .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect();
            match receiving.handle_binary(&bytes) {
                Ok(Step::Write { content, .. }) => written += content.len() as u64,
                Ok(_) => {}
                Err(_) => return,
            }
        } else {
            let _ = sending.handle_text(line);
            match receiving.handle_text(line) {
                Ok(Some(Step::Offered(offer))) => offered = offer.bytes,
                Ok(Some(Step::Begin { names, .. })) => {
                    assert!(names.iter().all(|name| !matches!(name.as_str(), "" | "." | "..")));
                }
                Ok(_) => {}
                Err(_) => return,
            }
            if let Ok(message) = Message::read(line) {
                assert_eq!(Message::read(&message.to_text()), Ok(message));
            }
        }
        assert!(offered.is_none_or(|offered| written <= offered));
    }
}

/// A text that people carry unpacks to no more than it may, and is read back as it was.
fn paste(text: &str) {
    let Ok(paste) = text.parse::<Paste>() else { return };
    assert!(paste.sdp.len() <= MAX_UNPACKED);
    assert_eq!(paste.to_string().parse(), Ok(paste));
}

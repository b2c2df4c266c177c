//! Descriptions that mean harm: one clear error each, or bounded work.

use columba_sdp::attributes::*;
use columba_sdp::{Candidate, Error, Lines, SessionDescription};

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";

fn parse(tail: &str) -> Result<SessionDescription, Error> {
    format!("{HEAD}{tail}").parse()
}

#[test]
fn a_million_attributes() {
    assert!(matches!(parse(&"a=x\r\n".repeat(1_000_000)), Err(Error::TooLong { .. })));
    assert!(matches!(parse(&"a=x\r\n".repeat(100_000)), Err(Error::TooManyLines { limit: 20_000 })));
    assert!(parse(&"\n".repeat(1_000_000)).is_ok(), "empty lines hold nothing");
    assert!(parse(&"a=x\r\n".repeat(19_000)).is_ok());
}

#[test]
fn a_million_sections() {
    let section = "m=audio 9 RTP/AVP 0\r\n";
    assert!(matches!(parse(&section.repeat(1025)), Err(Error::TooManyMedia { line: 1029, limit: 1024 })));
    assert_eq!(parse(&section.repeat(1024)).unwrap().media.len(), 1024);
}

/// A hundred thousand candidates are refused by their number; as many as fit are read in one pass.
#[test]
fn a_hundred_thousand_candidates() {
    let line = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    let section = |count: usize| format!("m=audio 9 RTP/AVP 0\r\n{}", line.repeat(count));
    assert!(matches!(parse(&section(100_000)), Err(Error::TooLong { .. })));
    let short = "a=candidate\n".repeat(80_000);
    assert!(matches!(parse(&short), Err(Error::TooManyLines { limit: 20_000 })));
    assert!(matches!(parse(&section(21_000)), Err(Error::TooManyLines { limit: 20_128 })));
    let description = parse(&section(19_000)).unwrap();
    assert_eq!(description.media[0].lines.all::<Candidate>().flatten().count(), 19_000);
}

#[test]
fn one_endless_line() {
    for start in ["a=", "a=candidate:", "m=audio 9 RTP/AVP", "o=", "s=", ""] {
        let text = format!("{start}{}", " 0".repeat(20_000));
        assert!(matches!(parse(&text), Err(Error::LineTooLong { line: 5, .. })), "{start}");
    }
    assert!(matches!(parse(&"x".repeat(2 << 20)), Err(Error::TooLong { .. })));
}

#[test]
fn control_characters() {
    for (tail, character) in
        [("a=x\0y\r\n", '\0'), ("a=x\ry\r\n", '\r'), ("\0", '\0'), ("m=audio\0 9 RTP/AVP 0", '\0')]
    {
        assert_eq!(parse(tail), Err(Error::ForbiddenCharacter { line: 5, character }), "{tail:?}");
    }
}

#[test]
fn errors_repeat_only_a_little_of_the_text() {
    let long = "ä".repeat(5000);
    for text in
        [format!("{HEAD}{long}"), format!("{HEAD}m={long}"), format!("v={long}"), format!("v=0\r\no={long}")]
    {
        let error = text.parse::<SessionDescription>().unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }
    let description = parse(&format!("a=setup:{long}\r\na=fingerprint:{long}\r\n")).unwrap();
    assert!(description.lines.get::<Setup>().unwrap_err().to_string().len() < 300);
}

/// Long lists in one line stay as long as the line.
#[test]
fn lists_are_as_long_as_their_line() {
    let many = |word: &str, separator: &str| vec![word; 3000].join(separator);
    let mut text = String::new();
    for line in [
        format!("group:BUNDLE {}", many("a", " ")),
        format!("ice-options:{}", many("a", " ")),
        format!("ssrc-group:FID {}", many("1", " ")),
        format!("simulcast:send {}", many("~1", ",")),
        format!("simulcast:recv {}", many("1", ";")),
        format!("rid:1 send pt={}", many("1", ",")),
        format!("fmtp:1 {}", many("a=b", ";")),
        format!("content:{}", many("a", ",")),
        format!("fingerprint:x {}", many("00", ":")),
        format!("candidate:1 1 udp 1 ::1 9 typ host {}", many("a b", " ")),
    ] {
        text.push_str(&format!("a={line}\r\n"));
    }
    let lines: Lines = parse(&text).unwrap().lines;
    assert_eq!(lines.get::<Group>().unwrap().unwrap().mids.len(), 3000);
    assert_eq!(lines.get::<IceOptions>().unwrap().unwrap().0.len(), 3000);
    assert_eq!(lines.get::<SsrcGroup>().unwrap().unwrap().ssrcs.len(), 3000);
    assert_eq!(lines.all::<Simulcast>().map(|value| value.unwrap().send.len()).sum::<usize>(), 1);
    assert_eq!(lines.get::<Rid>().unwrap().unwrap().payload_types.len(), 3000);
    assert_eq!(lines.get::<Fmtp>().unwrap().unwrap().iter().count(), 3000);
    assert!(lines.get::<Fingerprint>().is_err(), "a digest has a greatest length");
    assert!(lines.get::<Candidate>().is_err(), "a candidate has a greatest length");
}

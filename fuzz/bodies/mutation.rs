//! Changes of a description, as applications and men in the middle make them.

use crate::Script;

/// Lines that mean something, put where they may not be expected.
const LINES: &[&str] = &[
    "a=group:BUNDLE 0",
    "a=group:BUNDLE",
    "a=group:BUNDLE 0 1 2 0",
    "a=group:LS 0 1",
    "a=mid:0",
    "a=mid:",
    "a=mid:a name that is long",
    "a=setup:active",
    "a=setup:passive",
    "a=setup:actpass",
    "a=setup:holdconn",
    "a=ice-lite",
    "a=ice-options:trickle ice2 renomination",
    "a=ice-ufrag:abcd",
    "a=ice-ufrag:a",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx",
    "a=ice-pacing:5",
    "a=end-of-candidates",
    "a=candidate:1 1 udp 1 10.0.0.9 9 typ host",
    "a=candidate:1 2 udp 1 a.local 9 typ host",
    "a=candidate:1 1 tcp 1 10.0.0.9 9 typ host tcptype passive",
    "a=fingerprint:sha-256 00",
    "a=fingerprint:sha-1 AA:BB",
    "a=tls-id:abcdefghijklmnopqrstuvwxyz",
    "a=rtcp-mux",
    "a=rtcp-mux-only",
    "a=rtcp-rsize",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=bundle-only",
    "a=sctp-port:0",
    "a=sctp-port:5000",
    "a=sctpmap:5000 webrtc-datachannel 1024",
    "a=max-message-size:0",
    "a=max-message-size:1",
    "a=sendrecv",
    "a=sendonly",
    "a=recvonly",
    "a=inactive",
    "a=msid:- track",
    "a=msid:stream track",
    "a=msid-semantic: WMS *",
    "a=ssrc:1 cname:x",
    "a=ssrc-group:FID 1 2",
    "a=rid:h send",
    "a=rid:h recv pt=96",
    "a=simulcast:send h;m;l",
    "a=simulcast:recv ~h,m",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:255 x",
    "a=extmap-allow-mixed",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:96 rtx/90000",
    "a=fmtp:96 apt=97",
    "a=fmtp:97 apt=97",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtcp-fb:* nack",
    "b=AS:30",
    "c=IN IP6 ::",
    "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    "m=video 0 UDP/TLS/RTP/SAVPF 96",
    "m=video 9 RTP/AVP 96",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "m=application 9 TCP/DTLS/SCTP webrtc-datachannel",
    "m=application 9 DTLS/SCTP 5000",
    "m=text 9 UDP/TLS/RTP/SAVPF 98",
    "",
    "v=0",
    "t=0 0",
];

/// Changes a description at one place. `others` are further ones, of either side.
pub(crate) fn change(sdp: &str, others: &[&str], script: &mut Script<'_>) -> String {
    let mut lines: Vec<String> = sdp.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return LINES[script.below(LINES.len())].to_owned();
    }
    let at = script.below(lines.len());
    match script.below(12) {
        0 => {
            lines.remove(at);
        }
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let other = script.below(lines.len());
            lines.swap(at, other);
        }
        3 | 4 => lines.insert(at, LINES[script.below(LINES.len())].to_owned()),
        5 => lines[at] = LINES[script.below(LINES.len())].to_owned(),
        6 => lines[at] = bend(&lines[at], script),
        7 => lines[at] += &script.text(),
        8 => lines.truncate(at),
        9 => remove_kind(&mut lines, at),
        10 => sections(&mut lines, script),
        _ => {
            let other = others.get(script.below(others.len().max(1))).copied().unwrap_or_default();
            let borrowed: Vec<&str> = other.lines().collect();
            if !borrowed.is_empty() {
                lines[at] = borrowed[script.below(borrowed.len())].to_owned();
            }
        }
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

/// Removes all lines that begin as this one does.
fn remove_kind(lines: &mut Vec<String>, at: usize) {
    let name = |line: &str| line.split([':', ' ']).next().unwrap_or_default().to_owned();
    let removed = name(&lines[at]);
    lines.retain(|line| name(line) != removed);
}

/// Moves, repeats, rejects or drops a whole section.
fn sections(lines: &mut Vec<String>, script: &mut Script<'_>) {
    let begins: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| line.starts_with("m=")).map(|(at, _)| at).collect();
    if begins.is_empty() {
        return;
    }
    let which = script.below(begins.len());
    let range = begins[which]..begins.get(which + 1).copied().unwrap_or(lines.len());
    let section: Vec<String> = lines[range.clone()].to_vec();
    match script.below(4) {
        0 => drop(lines.drain(range)),
        1 => lines.extend(section),
        2 => {
            lines.drain(range);
            lines.extend(section);
        }
        _ => {
            let mut words: Vec<&str> = section[0].split(' ').collect();
            if words.len() > 1 {
                words[1] = "0";
            }
            lines[range.start] = words.join(" ");
        }
    }
}

/// Changes one character, or one word, of a line.
pub(crate) fn bend(line: &str, script: &mut Script<'_>) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let at = script.below(words.len().max(1));
    match script.below(4) {
        0 => words[at] = script.text(),
        1 => words[at] = "4294967296".to_owned(),
        2 => {
            words.remove(at);
        }
        _ => {
            let mut characters: Vec<char> = words[at].chars().collect();
            if !characters.is_empty() {
                let index = script.below(characters.len());
                characters[index] = char::from(script.byte().unwrap_or(b'x') & 0x7F);
            }
            words[at] = characters.into_iter().collect();
        }
    }
    words.join(" ")
}

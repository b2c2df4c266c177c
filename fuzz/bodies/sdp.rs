//! The SDP target. The crate's ordinary tests include this file, too, and
//! run it over the corpus, so that it is compiled and exercised without a fuzzer.

use std::fmt::Debug;

use columba_sdp::attributes::*;
use columba_sdp::{Candidate, Field, Lines, SessionDescription};

/// Reads a description and a candidate: no input panics, and a value that was read reads back equal
/// from its print.
pub(crate) fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(candidate) = text.parse::<Candidate>() {
        assert!(candidate.is_printable());
        assert_eq!(candidate.to_string().parse(), Ok(candidate));
    }
    let Ok(description) = text.parse::<SessionDescription>() else { return };
    let printed = description.to_string();
    let again: SessionDescription = printed.parse().expect("what is printed can be parsed");
    assert_eq!(again, description);
    assert_eq!(again.to_string(), printed);
    read_everything(&description.lines);
    for section in &description.media {
        read_everything(&section.lines);
        let _ = section.codecs();
        let _ = (section.mid(), section.is_rejected(), description.direction(section));
    }
}

fn read_everything(lines: &Lines) {
    macro_rules! each {
        ($($type:ty),+ $(,)?) => { $(read::<$type>(lines);)+ };
    }
    each!(
        Bandwidth,
        BundleOnly,
        Candidate,
        Connection,
        Content,
        Crypto,
        Direction,
        EndOfCandidates,
        ExtMap,
        ExtMapAllowMixed,
        Fingerprint,
        Fmtp,
        Group,
        IceLite,
        IceOptions,
        IcePacing,
        IcePwd,
        IceUfrag,
        Identity,
        ImageAttr,
        Label,
        MaxMessageSize,
        MaxPtime,
        Mid,
        Msid,
        MsidSemantic,
        Ptime,
        RemoteCandidates,
        Rid,
        Rtcp,
        RtcpFb,
        RtcpMux,
        RtcpMuxOnly,
        RtcpRsize,
        RtpMap,
        SctpInit,
        SctpMap,
        SctpPort,
        Setup,
        Simulcast,
        Ssrc,
        SsrcGroup,
        Timing,
        TlsId,
    );
}

fn read<T: Field + Debug>(lines: &Lines) {
    for value in lines.all::<T>().flatten() {
        let mut written = Lines::new();
        written.add(&value).expect("what was read can be written");
        assert_eq!(written.get::<T>().expect("what was written can be read"), Some(value));
    }
}

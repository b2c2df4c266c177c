//! Where the order of a browser, or what its page sees, is another than ours, and why.

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The events, or their order, and the values, perhaps.
    Order,
    /// The values that are visible at them.
    Values,
}

/// A difference, in a part of the events of one side in one section.
pub(crate) struct Difference {
    pub(crate) browser: &'static str,
    pub(crate) section: &'static str,
    pub(crate) side: &'static str,
    pub(crate) lane: &'static str,
    pub(crate) what: What,
    /// The reason: the browser's behaviour.
    pub(crate) why: &'static str,
}

const fn order([browser, section, side, lane]: [&'static str; 4], why: &'static str) -> Difference {
    Difference { browser, section, side, lane, what: What::Order, why }
}

const GATHERING_OF_CHROMIUM: &str = "It has a state of the connection follow in a task behind that of the transport, and \
    knows no end of a transport's candidates.";

const SECTION_BESIDE_THE_BUNDLE: &str = "It gathers for a section that is to join the bundle that runs, and counts its transport \
    while the offer is pending. Once a bundle is agreed, ours joins it at once.";

const END_OF_TRACKS: &str = "It ends tracks before the state has changed; by the W3C the end is a task behind that \
    of the description.";

pub(crate) const DIFFERENCES: &[Difference] = &[
    order(["chromium", "a channel is created, and connects", "caller", "gathering"], GATHERING_OF_CHROMIUM),
    order(["chromium", "a channel is created, and connects", "callee", "gathering"], GATHERING_OF_CHROMIUM),
    order(["chromium", "ICE restarts", "caller", "gathering"], GATHERING_OF_CHROMIUM),
    order(["chromium", "ICE restarts", "callee", "gathering"], GATHERING_OF_CHROMIUM),
    order(
        ["chromium", "a channel is created, and connects", "caller", "connection"],
        "It fires iceconnectionstatechange before the transport's statechange, and \
        connectionstatechange in a later task, after DTLS even behind those of SCTP and of \
        channels.",
    ),
    order(
        ["chromium", "a channel is created, and connects", "callee", "connection"],
        "It fires iceconnectionstatechange before the transport's statechange, and \
        connectionstatechange in a later task, after DTLS even behind those of SCTP and of \
        channels. Its DTLS client is connecting when it has been created, ours when there \
        is a path on which to begin.",
    ),
    order(
        ["firefox", "a channel is created, and connects", "caller", "connection"],
        "It makes the connection's states visible after it has fired the transport's \
        statechange, and the state that follows from DTLS is a race with SCTP.",
    ),
    order(
        ["firefox", "a channel is created, and connects", "callee", "connection"],
        "It makes the connection's states visible after it has fired the transport's \
        statechange, and the state that follows from DTLS is a race with SCTP. Its DTLS \
        client is connecting when it has been created, ours when there is a path on which \
        to begin.",
    ),
    order(
        ["chromium", "a connection closes", "caller", "connection"],
        "It fires events of SCTP and of channels on close, where the W3C fires none.",
    ),
    order(
        ["firefox", "a connection closes", "caller", "connection"],
        "It fires close of channels, and leaves DTLS and SCTP connected, where the W3C \
        closes all and fires nothing.",
    ),
    order(
        ["chromium", "a connection closes", "callee", "connection"],
        "It fires closing, although the channel ends with the transport and not by the \
        closing procedure.",
    ),
    order(
        ["firefox", "a connection closes", "callee", "connection"],
        "It fires closing and no error, as if the channel had been closed by the closing \
        procedure.",
    ),
    order(["firefox", "an offer is taken back by both", "caller", "gathering"], SECTION_BESIDE_THE_BUNDLE),
    order(["firefox", "an offer is taken back by both", "caller", "connection"], SECTION_BESIDE_THE_BUNDLE),
    order(["firefox", "a transceiver is added", "caller", "gathering"], SECTION_BESIDE_THE_BUNDLE),
    order(["firefox", "a transceiver is added", "caller", "connection"], SECTION_BESIDE_THE_BUNDLE),
    order(
        ["chromium", "an offer is taken back by both", "caller", "signaling"],
        "It fires negotiationneeded while the rollback is under way, the W3C when the chain \
        of operations is empty again.",
    ),
    order(["chromium", "an offer is taken back by both", "callee", "signaling"], END_OF_TRACKS),
    order(["chromium", "a transceiver stops", "callee", "signaling"], END_OF_TRACKS),
    order(
        ["firefox", "a transceiver stops", "callee", "signaling"],
        "It stops the transceiver with the answer, the W3C with the offer.",
    ),
];

//! A type for every attribute and line that WebRTC's descriptions hold.
//!
//! Each implements [`Field`](crate::Field), so that [`Lines`](crate::Lines) and the sections that
//! hold them read and write it: `section.lines.get::<Mid>()`, `section.lines.set(&Setup::Active)`.
//! The attribute `candidate` is [`Candidate`](crate::Candidate).

mod codec;
mod direction;
mod dtls;
mod extmap;
mod grouping;
mod ice;
mod labels;
mod media_stream;
mod rtcp;
mod sctp;
mod session;
mod simulcast;
mod ssrc;

pub use codec::{CodecTarget, Fmtp, ImageAttr, MaxPtime, PayloadType, Ptime, RtcpFb, RtpMap};
pub use direction::Direction;
pub use dtls::{Crypto, DtlsGroups, Fingerprint, HashFunction, Setup, TlsId};
pub use extmap::{ExtMap, ExtMapAllowMixed};
pub use grouping::{BundleOnly, Group, GroupSemantics, Mid};
pub use ice::{
    EndOfCandidates, IceLite, IceOptions, IcePacing, IcePwd, IceUfrag, RemoteCandidate, RemoteCandidates,
};
pub use labels::{Content, Identity, Label};
pub use media_stream::{Msid, MsidSemantic};
pub use rtcp::{Rtcp, RtcpMux, RtcpMuxOnly, RtcpRsize};
pub use sctp::{MaxMessageSize, SctpInit, SctpMap, SctpPort};
pub use session::{Bandwidth, Connection, Origin, Timing};
pub use simulcast::{Rid, RidDirection, Simulcast, SimulcastStream};
pub use ssrc::{Ssrc, SsrcGroup, SsrcGroupSemantics};

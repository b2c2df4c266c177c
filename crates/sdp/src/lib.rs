//! Session descriptions (RFC 8866) as WebRTC writes them (RFC 8829): parse, print, typed
//! attributes, ICE candidates.
//!
//! ```
//! use columba_sdp::attributes::{Fingerprint, IceUfrag, Mid, Setup};
//! use columba_sdp::{Candidate, SessionDescription};
//!
//! let offer = "v=0\r\no=- 4962303333179871722 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
//!              a=group:BUNDLE 0\r\n\
//!              m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
//!              a=candidate:1 1 udp 2113937151 192.0.2.7 54400 typ host\r\n\
//!              a=ice-ufrag:9Bo5\r\na=setup:actpass\r\na=mid:0\r\n";
//! let mut description: SessionDescription = offer.parse()?;
//! assert_eq!(description.to_string(), offer);
//!
//! let section = &description.media[0];
//! assert_eq!(section.mid(), Some("0"));
//! assert_eq!(description.effective::<IceUfrag>(section)?.unwrap().0, "9Bo5");
//! for candidate in section.lines.all::<Candidate>() {
//!     assert_eq!(candidate?.port, 54400);
//! }
//!
//! description.media[0].lines.set(&Setup::Active)?;
//! assert!(description.to_string().contains("a=setup:active\r\n"));
//! assert!(!description.lines.has::<Fingerprint>());
//! # Ok::<(), columba_sdp::Error>(())
//! ```
//!
//! There are two levels. [`SessionDescription`] and [`MediaSection`] hold [`Lines`]: every line,
//! known or not, in its order, so that nothing is lost. The types of [`attributes`] are read from
//! lines and written to them; parsing a description does not read its attributes, so that a broken
//! one that is not asked for breaks nothing, and one that is asked for is an error with its line.
//!
//! Input is bounded by [`Limits`] and never panics. Output can always be parsed
//! again, to an equal value: a name with a line end in it is refused where it is set, so that no
//! text of a user's can become a line of the description.

mod address;
pub mod attributes;
mod candidate;
mod codec_list;
mod error;
mod field;
pub mod formats;
mod line;
mod lines;
mod media;
mod parse;
mod scan;
mod session;
mod words;

pub use address::{AddressType, Host, NetworkAddress};
pub use candidate::{Candidate, CandidateTransport, CandidateType, RelatedAddress, TcpType};
pub use codec_list::Codec;
pub use error::{Error, Expected};
pub use field::Field;
pub use line::Line;
pub use lines::Lines;
pub use media::{MediaKind, MediaLine, MediaSection, Protocol};
pub use parse::Limits;
pub use session::SessionDescription;

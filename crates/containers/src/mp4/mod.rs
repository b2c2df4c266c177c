//! MP4 (ISO/IEC 14496-12), in fragments and with tables.

mod reader;
mod writer;

pub(crate) use reader::Mp4Reader;
pub(crate) use writer::Mp4Writer;

//! ACK of DTLS 1.3 (RFC 9147 §7).

use crate::error::Fault;
use crate::record::RecordNumber;
use crate::wire::{Reader, put_vec16};

/// Record numbers that are acknowledged at once at most: they fit into the smallest datagram.
pub(crate) const MAX_ACKS: usize = 24;

/// Returns the acknowledged records.
pub(crate) fn read_ack(body: &[u8]) -> Result<impl Iterator<Item = RecordNumber>, Fault> {
    let mut reader = Reader::new(body);
    let mut list = reader.vec16()?;
    reader.finish()?;
    let is_whole = list.rest().len() % 16 == 0;
    if !is_whole {
        return Err(Fault::decode("a list of acknowledged records has an impossible length"));
    }
    let mut list = Reader::new(&body[2..]);
    Ok(std::iter::from_fn(move || {
        let epoch = list.u64().ok()?;
        Some(RecordNumber { epoch, sequence: list.u64().ok()? })
    }))
}

pub(crate) fn write_ack(records: &[RecordNumber]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + 16 * records.len());
    put_vec16(&mut out, |out| {
        for record in records {
            out.extend_from_slice(&record.epoch.to_be_bytes());
            out.extend_from_slice(&record.sequence.to_be_bytes());
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_records_are_written_and_read() {
        let records = [RecordNumber { epoch: 2, sequence: 7 }, RecordNumber { epoch: 3, sequence: 1 << 40 }];
        let body = write_ack(&records);
        assert_eq!(read_ack(&body).unwrap().collect::<Vec<_>>(), records);
        assert!(read_ack(&body[..33]).is_err());
        assert!(read_ack(&[0, 3, 1, 2, 3]).is_err());
        assert_eq!(read_ack(&[0, 0]).unwrap().count(), 0);
    }
}

//! Data channels over SCTP.

use std::collections::VecDeque;
use std::time::Instant;

use columba_ice::Ecn;
use rand_core::CryptoRng;

use crate::channel::{ChannelId, ChannelInfo, DataChannelInit, Message};
use crate::configuration::Configuration;
use crate::error::Error;
use crate::event::Event;
use crate::stats::{DataChannelStats, SctpStats};

#[derive(Debug)]
pub(crate) struct Data {
    next: u32,
}

#[expect(unused_variables, reason = "SCTP comes")]
impl Data {
    pub(crate) fn new(configuration: &Configuration, now: Instant, rng: &mut impl CryptoRng) -> Self {
        Self { next: 0 }
    }
    pub(crate) fn create(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, Error> {
        self.next += 1;
        Ok(ChannelId(self.next))
    }
    pub(crate) fn set_remote(&mut self, port: u16, max_message_size: u64) {}
    pub(crate) fn set_role(&mut self, client: bool) {}
    pub(crate) fn connect(&mut self, now: Instant) {}
    pub(crate) fn handle_packet(&mut self, now: Instant, ecn: Ecn, packet: &[u8]) {}
    pub(crate) fn handle_timeout(&mut self, now: Instant) {}
    pub(crate) fn handle_path_change(&mut self, now: Instant) {}
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        None
    }
    pub(crate) fn poll_events(&mut self, now: Instant, events: &mut VecDeque<Event>) -> Option<Error> {
        None
    }
    pub(crate) fn fail(&mut self, error: &Error) {}
    pub(crate) fn close(&mut self, now: Instant) {}
    pub(crate) fn send(
        &mut self,
        now: Instant,
        channel: ChannelId,
        message: Message,
    ) -> Result<usize, Error> {
        Ok(0)
    }
    pub(crate) fn receive(&mut self, now: Instant, channel: ChannelId) -> Option<Message> {
        None
    }
    pub(crate) fn buffered_amount(&self, channel: ChannelId) -> usize {
        0
    }
    pub(crate) fn set_low_threshold(&mut self, channel: ChannelId, threshold: usize) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) fn close_channel(&mut self, now: Instant, channel: ChannelId) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) fn info(&self, channel: ChannelId) -> Option<ChannelInfo> {
        None
    }
    pub(crate) fn opened(&self) -> u32 {
        0
    }
    pub(crate) fn closed(&self) -> u32 {
        0
    }
    pub(crate) fn stats(&self) -> SctpStats {
        SctpStats::default()
    }
    pub(crate) fn channel_stats(&self) -> Vec<DataChannelStats> {
        Vec::new()
    }
}

//! The result of an operation of the chain.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Error;

/// The result of an operation of the W3C's chain: what the promise is in a browser. The operation
/// has taken place when this is returned, whether it is awaited or dropped; see
/// [`PeerConnection`](crate::PeerConnection#the-chain-of-operations).
#[derive(Clone, Debug)]
#[must_use = "the operation has taken place, but its error is lost"]
pub struct Operation<T>(Ready<Result<T, Error>>);

impl<T> Operation<T> {
    pub(crate) fn new(result: Result<T, Error>) -> Self {
        Self(ready(result))
    }
}

impl<T> Future for Operation<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

//! The check of health says what is so.

use columba_turn::server::AnswerLimit;

use super::super::health::Fault;
use super::{config, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_that_answers_is_healthy_also_while_strangers_are_not_answered() {
    let running = start(config());
    assert_eq!(running.service.check().await, Ok(()));
    let mut closed = config();
    closed.server.unauthenticated = AnswerLimit {
        bytes_per_second: Some(1),
        burst: 0,
        share_burst: 0,
        floor_bytes_per_second: 0,
        ..AnswerLimit::default()
    };
    let running = start(closed);
    assert_eq!(running.service.check().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_that_does_not_answer_is_not() {
    let mut mute = config();
    mute.server.unauthenticated = AnswerLimit {
        bytes_per_second: Some(1),
        burst: 0,
        share_burst: 0,
        familiar_bytes_per_second: 0,
        ..AnswerLimit::default()
    };
    let running = start(mute);
    assert_eq!(running.service.check().await, Err(Fault::Stun));
    running.service.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_whose_threads_are_blocked_is_not() {
    let running = start(config());
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for _ in 0..threads {
        let receiver = std::sync::Arc::clone(&receiver);
        running.service.spawn(async move {
            let _ = receiver.lock().map(|receiver| receiver.recv());
        });
    }
    assert_eq!(running.service.check().await, Err(Fault::Threads));
    drop(sender);
}

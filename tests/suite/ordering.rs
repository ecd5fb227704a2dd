//! Readers that come and go, and many who send at once: each reader has each message once, in the order of the log.

use futures_util::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use snug::protocol::{Event, Seq};

use crate::support::{Person, TestApp, on_both};

const SENDERS: usize = 8;
const EACH: usize = 60;

on_both! {
    async fn readers_that_reconnect_see_each_message_once_and_in_order(app: TestApp) {
        let senders = join_all((0..SENDERS).map(|n| { let app = &app; async move { app.sign_up(&format!("sender{n}")).await } })).await;
        let readers = join_all((0..3).map(|n| { let app = &app; async move { app.sign_up(&format!("reader{n}")).await } })).await;
        let start = readers[0].page("general").await.as_of;
        let last = Seq(start.0 + (SENDERS * EACH) as i64);
        let sending = join_all(senders.iter().enumerate().map(|(number, sender)| async move {
            let mut socket = sender.live().await;
            for n in 0..EACH {
                socket.say("general", &format!("{number}/{n}")).await;
            }
        }));
        let reading = join_all(readers.iter().enumerate().map(|(number, reader)| follow(reader, start, last, number as u64)));
        let (_, logs) = join(sending, reading).await;

        let truth = readers[0].log_after("general", start).await;
        assert_eq!(truth.len(), SENDERS * EACH);
        for log in logs {
            assert_eq!(log, truth);
        }
        let mut next = [0; SENDERS];
        for event in &truth {
            let Event::Message(message) = event else { panic!("{event:?}") };
            let (sender, n) = message.text.split_once('/').unwrap();
            let sender: usize = sender.parse().unwrap();
            assert_eq!(n.parse(), Ok(next[sender]), "each sender's messages are in the order in which they were sent");
            next[sender] += 1;
        }
    }
}

/// The log of `general` after `start`, up to `last`, through a socket that breaks off again and again.
async fn follow(reader: &Person, start: Seq, last: Seq, seed: u64) -> Vec<Event> {
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut log, mut seen, epoch) = (Vec::new(), start, reader.epoch().await);
    while seen < last {
        let mut socket = reader.socket().await;
        socket.resume(epoch, &[("general", seen)]).await;
        for _ in 0..chance.random_range(1..80) {
            if seen >= last {
                break;
            }
            let event = socket.next_event().await;
            let (_, seq) = event.place().unwrap_or_else(|| panic!("{event:?} is not of the log"));
            assert_eq!(seq, seen.next());
            seen = seq;
            log.push(event);
        }
        if chance.random() {
            socket.close().await;
        }
    }
    log
}

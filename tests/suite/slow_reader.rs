//! A reader that stops reading: nobody waits for it, and it misses nothing when it goes on.

use snug::protocol::{Command, Event, Refusal, Seq};

use crate::support::{Closed, Engine, Person, Socket, TestApp, eventually, message, on_both};

/// How much is sent past the reader that stopped: 16 kB (4000 characters of four bytes) each, far above what kernel and
/// queue hold for it.
const MESSAGES: usize = 600;

/// Seconds that a server waits for who takes nothing, where that is as long as it takes the test to say so much.
const PATIENT: u32 = 600;

on_both! {
    async fn a_reader_that_stops_delays_nobody_and_catches_up(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.queue_bytes = 256 * 1024;
            settings.replay_max = 100;
        }).await;
        let (ada, bob, cyd) = (app.sign_up("ada").await, app.sign_up("bob").await, app.sign_up("cyd").await);
        let (mut speaker, mut attentive) = (ada.live().await, cyd.live().await);
        let mut slow = narrow(&app, &bob).await;
        let mut seen = slow.hello().await.room("general").seq;
        let first = seen;

        let text = "🌱".repeat(4000);
        for n in 0..MESSAGES {
            let (seq, _) = speaker.say("general", &text).await;
            let event = attentive.until(|event| event.place().is_some()).await;
            assert_eq!(event.place().unwrap().1, seq, "message {n} comes to who reads, at once and in order");
        }
        let (last, _) = speaker.say("general", "the last").await;

        // It reads on: every event once and in order, or a `limited` over what it missed, or an end that says why.
        let mut log: Vec<Event> = Vec::new();
        let mut skipped = 0;
        while seen < last {
            match slow.try_next().await {
                Ok(Event::Limited { from, to, .. }) => {
                    assert!(from <= seen.next() && to > seen, "{from} to {to}, at {seen}");
                    log = bob.log_after("general", first).await.into_iter().filter(|event| event.place().unwrap().1 <= to).collect();
                    skipped += to.0 - seen.0;
                    seen = to;
                }
                Ok(event) => {
                    if let Some((_, seq)) = event.place() {
                        assert_eq!(seq, seen.next(), "in order and without a gap");
                        seen = seq;
                        log.push(event);
                    }
                }
                Err(closed) => {
                    assert_eq!(closed, Closed(Some(4408)), "who is too slow is told so");
                    slow = bob.socket().await;
                    slow.resume(bob.epoch().await, &[("general", seen)]).await;
                    skipped += 1;
                }
            }
        }
        assert!(skipped > 0, "the queue of who does not read is bounded");
        assert_eq!(log, bob.log_after("general", first).await);
        assert_eq!(log.len(), usize::try_from(last.0 - first.0).unwrap());
        slow.say("general", "and on").await;
        assert!(first > Seq::ZERO);
    }

    async fn who_does_not_read_still_gets_the_answers_to_its_commands(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.write_timeout = PATIENT;
            settings.queue_bytes = 64 * 1024;
            settings.replay_max = 10;
        }).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut speaker = ada.live().await;
        let mut slow = narrow(&app, &bob).await;
        slow.hello().await;
        let text = "🌱".repeat(4000);
        let mut open = Vec::new();
        for n in 0..MESSAGES {
            speaker.say("general", &text).await;
            if n % 20 == 0 {
                // Refused: bob is no member there.
                let (id, command) = message("random", "are you there?");
                slow.send(&command).await;
                open.push(id);
            }
        }
        // It reads on: an answer to each, or an end, after which it sends again what is open.
        while !open.is_empty() {
            match slow.try_next().await {
                Ok(Event::Error { id: Some(id), why, .. }) => {
                    assert_eq!(why, Refusal::NotMember);
                    open.retain(|other| *other != id);
                }
                Ok(_) => {}
                Err(closed) => {
                    assert_eq!(closed, Closed(Some(4408)));
                    break;
                }
            }
        }
    }

    async fn who_takes_less_than_there_is_to_tell_is_heard(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.write_timeout = PATIENT;
            settings.queue_bytes = 64 * 1024;
            settings.replay_max = 100_000;
        }).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut speaker = ada.live().await;
        let mut slow = narrow(&app, &bob).await;
        slow.hello().await;
        let text = "🌱".repeat(4000);
        for _ in 0..50 {
            speaker.say("general", &text).await;
        }
        slow.send(&Command::Ping).await;
        // From here on it is never told all that there is.
        for _ in 0..MESSAGES {
            speaker.say("general", &text).await;
            if slow.next_event().await == Event::Pong {
                return;
            }
        }
        panic!("what it said was not looked at while there was something to tell it");
    }

    async fn an_answer_is_not_lost_among_too_much_to_hear(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.queue_bytes = 64 * 1024;
            settings.replay_max = 10;
        }).await;
        let bob = app.sign_up("bob").await;
        let mut slow = narrow(&app, &bob).await;
        slow.hello().await;
        // Each message is heard by its author, too, who does not listen yet: more than the queue holds.
        let text = "🌱".repeat(4000);
        let (accepted, refused): (Vec<_>, Vec<_>) =
            (0..100).map(|_| (message("general", &text), message("random", "not a member"))).unzip();
        for ((_, good), (_, bad)) in accepted.iter().zip(&refused) {
            slow.feed(bad).await;
            slow.feed(good).await;
        }
        slow.flush().await;
        let mut open: Vec<_> = refused.iter().map(|(id, _)| *id).collect();
        while !open.is_empty() {
            match slow.try_next().await {
                Ok(Event::Error { id: Some(id), why, .. }) => {
                    assert_eq!(why, Refusal::NotMember);
                    open.retain(|other| *other != id);
                }
                Ok(_) => {}
                Err(closed) => {
                    assert_eq!(closed, Closed(Some(4408)), "who loses its answers must at least be told to come again");
                    break;
                }
            }
        }
        if open.is_empty() {
            // The last of it may be written after the last of the answers.
            eventually("what was accepted is in the log", async || {
                let log = bob.log("general").await;
                let there = |id| log.iter().any(|event| matches!(event, Event::Message(message) if message.id == id));
                accepted.iter().all(|(id, _)| there(*id)).then_some(())
            })
            .await;
        }
    }
}

/// A socket of theirs for which kernels hold little.
async fn narrow(app: &TestApp, person: &Person) -> Socket {
    let headers = [("origin", &*person.origin()), ("cookie", &*person.cookies())];
    Socket::connect_narrow(app.address(), "/ws", &headers).await.expect("the server takes a socket")
}
